"""`deploy/ecs` and `deploy/iam`, validated: no AWS is reached, and no task is started.

moto answers what the launcher asks of ECS when it is loaded.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.session import get_session
from botocore.validate import ParamValidator
from dagster import DagsterInstance
from dagster_aws.ecs import EcsRunLauncher
from moto import mock_aws

from inventory_assets.config import load_config
from inventory_assets_tests.deploy.containerfile import CONTAINERFILE, stages_of
from inventory_assets_tests.deploy.units import DEPLOY

ECS = DEPLOY / "ecs"
IAM = DEPLOY / "iam"
TASKS = ("run-task.json", "services-task.json")
POLICIES = sorted(path.name for path in IAM.glob("*-policy.json"))
REGION = "eu-west-1"


@contextmanager
def aws_played_by_moto() -> Iterator[None]:
    """Calls of AWS go to moto, whose servers for other tests keep their buckets."""
    mock = mock_aws()
    mock.start(reset=False)
    try:
        yield
    finally:
        mock.stop(remove_data=False)


def task_of(name: str) -> dict[str, Any]:
    return dict(json.loads((ECS / name).read_text()))


def containers() -> list[Any]:
    return [
        pytest.param(container, id=f"{name}-{container['name']}")
        for name in TASKS
        for container in task_of(name)["containerDefinitions"]
    ]


def statements_of(name: str) -> list[dict[str, Any]]:
    return list(json.loads((IAM / name).read_text())["Statement"])


def words(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def mistakes_in(task: dict[str, Any]) -> str:
    """What botocore's model of the API says against a task definition; "" if nothing."""
    model = get_session().get_service_model("ecs")
    shape = model.operation_model("RegisterTaskDefinition").input_shape
    assert shape is not None
    return str(ParamValidator().validate(task, shape).generate_report())


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DagsterInstance]:
    """Dagster with the deployment's settings, but history in SQLite, and ECS played by moto."""
    settings = yaml.safe_load((ECS / "dagster.yaml").read_text())
    assert settings["storage"] == {"postgres": {"postgres_url": {"env": "DAGSTER_POSTGRES_URL"}}}
    settings["storage"] = {"sqlite": {"base_dir": str(tmp_path)}}
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(settings))
    variables = {
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": REGION,
        "INVENTORY_RUN_TASK": "inventory-run",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with aws_played_by_moto():
        boto3.client("ecs").register_task_definition(**task_of("run-task.json"))
        with DagsterInstance.from_config(str(tmp_path)) as loaded:
            yield loaded


def test_dagster_loads_the_launcher(instance: DagsterInstance) -> None:
    launcher = instance.run_launcher
    assert isinstance(launcher, EcsRunLauncher)
    assert str(launcher.task_definition).endswith("task-definition/inventory-run:1")
    assert launcher.secrets_tags == []
    assert instance.run_monitoring_enabled
    assert instance.run_retries_enabled
    assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 10  # type: ignore[union-attr]


def test_a_launcher_whose_task_has_no_container_of_that_name_is_refused(
    instance: DagsterInstance,
) -> None:
    task = task_of("run-task.json")
    task["containerDefinitions"][0]["name"] = "other"
    boto3.client("ecs").register_task_definition(**task)
    with pytest.raises(Exception, match="the container is not defined"):
        assert instance.run_launcher


@pytest.mark.parametrize("name", TASKS)
def test_botocore_accepts_a_task_definition(name: str) -> None:
    assert mistakes_in(task_of(name)) == ""


def test_botocore_refuses_a_misspelt_field() -> None:
    task = task_of("run-task.json")
    task["containerDefinitions"][0]["readOnlyRootFilesystem"] = True
    assert "readOnlyRootFilesystem" in mistakes_in(task)


@pytest.mark.parametrize("container", containers())
def test_a_container_has_no_privileges_and_a_root_that_is_read_only(
    container: dict[str, Any],
) -> None:
    assert container["readonlyRootFilesystem"] is True
    assert container["linuxParameters"]["capabilities"] == {"drop": ["ALL"]}
    assert container["user"] == stages_of(CONTAINERFILE)[-1].last("USER").value
    mounted = {mount["containerPath"] for mount in container["mountPoints"]}
    assert mounted == set(stages_of(CONTAINERFILE)[-1].last("VOLUME").words)


@pytest.mark.parametrize("container", containers())
def test_no_secret_is_in_the_environment(container: dict[str, Any]) -> None:
    secrets = {each["name"] for each in container["secrets"]}
    assert secrets == {"DAGSTER_POSTGRES_URL"}
    names = {each["name"] for each in container["environment"]}
    assert not names & secrets
    assert not [name for name in names if re.search("SECRET|PASSWORD|TOKEN|KEY", name)]


def test_the_code_server_is_reached_by_its_own_task_alone() -> None:
    by_name = {each["name"]: each for each in task_of("services-task.json")["containerDefinitions"]}
    assert "127.0.0.1" in by_name["code"]["command"]
    ports = {name: each.get("portMappings") for name, each in by_name.items()}
    assert {name for name, each in ports.items() if each} == {"webserver"}
    workspace = yaml.safe_load((ECS / "workspace.yaml").read_text())
    (server,) = (each["grpc_server"] for each in workspace["load_from"])
    assert f"--port {server['port']}" in " ".join(by_name["code"]["command"])


def test_the_store_is_a_bucket_that_the_roles_know() -> None:
    config = load_config(ECS / "inventory.toml")
    (source,) = config.sources.values()
    bucket, prefix = config.store.bucket, config.store.prefix  # type: ignore[union-attr]
    allowed = {
        (action, resource)
        for each in statements_of("runs-policy.json")
        for action in words(each["Action"])
        for resource in words(each["Resource"])
    }
    assert ("s3:ListBucket", f"arn:aws:s3:::{source.bucket}") in allowed
    assert ("s3:ListBucket", f"arn:aws:s3:::{bucket}") in allowed
    for action in ("GetObject", "PutObject", "DeleteObject", "AbortMultipartUpload"):
        assert (f"s3:{action}", f"arn:aws:s3:::{bucket}/{prefix}/*") in allowed


def test_runs_never_read_the_objects_of_a_source() -> None:
    (source,) = load_config(ECS / "inventory.toml").sources.values()
    touching = [
        action
        for each in statements_of("runs-policy.json")
        for action in words(each["Action"])
        for resource in words(each["Resource"])
        if resource.startswith(f"arn:aws:s3:::{source.bucket}")
    ]
    assert set(touching) == {"s3:ListBucket", "s3:ListBucketVersions"}


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_allows_no_wildcard_of_actions(name: str) -> None:
    for statement in statements_of(name):
        assert statement["Effect"] == "Allow"
        assert [action for action in words(statement["Action"]) if "*" in action] == []
        if "*" in words(statement["Resource"]):
            # These have no resources in IAM.
            assert statement["Action"] in {
                "ec2:DescribeNetworkInterfaces",
                "ecr:GetAuthorizationToken",
                "ecs:DescribeTaskDefinition",
            }


@pytest.mark.parametrize("name", POLICIES)
def test_iam_takes_a_policy(name: str) -> None:
    with aws_played_by_moto():
        made = boto3.client(
            "iam", region_name=REGION, aws_access_key_id="any", aws_secret_access_key="any"
        ).create_policy(PolicyName=Path(name).stem, PolicyDocument=(IAM / name).read_text())
    assert made["Policy"]["Arn"]
