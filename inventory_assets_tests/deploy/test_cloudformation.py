"""`deploy/ecs` and `deploy/iam` as resources of CloudFormation, which cfn-lint knows.

It knows what botocore's model does not: which CPU goes with which memory on Fargate, and how the
actions of a service are named.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from cfnlint.api import ManualArgs, lint

from inventory_assets_tests.deploy.test_ecs import IAM, POLICIES, REGION, TASKS, task_of

TASK, ROLE = "AWS::ECS::TaskDefinition", "AWS::IAM::Role"


def findings(kind: str, properties: dict[str, Any]) -> list[str]:
    """What cfn-lint says of a template with one resource."""
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Resources": {"Any": {"Type": kind, "Properties": properties}},
    }
    found = lint(json.dumps(template), config=ManualArgs(regions=[REGION]))
    return [f"{each.rule.id} {each.message}" for each in found]


def capitalised(value: object) -> Any:
    """Names as CloudFormation spells them: `cpu` is `Cpu`, but for the options of a log driver."""
    if isinstance(value, list):
        return [capitalised(each) for each in value]
    if isinstance(value, dict):
        return {
            f"{name[0].upper()}{name[1:]}": each if name == "options" else capitalised(each)
            for name, each in value.items()
        }
    return value


def role_with(policy: str) -> dict[str, Any]:
    """A role that ECS may assume, with a policy of `deploy/iam`."""
    return {
        "AssumeRolePolicyDocument": json.loads((IAM / "ecs-trust.json").read_text()),
        "Policies": [
            {
                "PolicyName": Path(policy).stem,
                "PolicyDocument": json.loads((IAM / policy).read_text()),
            }
        ],
    }


@pytest.mark.parametrize("name", TASKS)
def test_a_task_definition_has_no_finding(name: str) -> None:
    assert findings(TASK, capitalised(task_of(name))) == []


@pytest.mark.parametrize("policy", POLICIES)
def test_a_role_has_no_finding(policy: str) -> None:
    assert findings(ROLE, role_with(policy)) == []


def test_memory_that_does_not_go_with_the_cpu_is_found() -> None:
    (finding,) = findings(TASK, capitalised({**task_of(TASKS[0]), "memory": "9999"}))
    assert finding.startswith("E3047")


def test_a_misspelt_action_is_found() -> None:
    role = role_with("launcher-policy.json")
    role["Policies"][0]["PolicyDocument"]["Statement"][0]["Action"] = "ecs:RunTaks"
    (finding,) = findings(ROLE, role)
    assert "'runtaks'" in finding
