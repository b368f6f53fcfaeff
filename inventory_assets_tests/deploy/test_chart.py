"""Dagster's chart with `deploy/kubernetes/values.yaml`, rendered by Helm.

It needs Helm's engine and the chart itself, neither of which the environment has:

    pip install helm-python-sdk kubernetes-validate
    helm pull dagster --repo https://dagster-io.github.io/helm --version 1.13.27 --untar
    DAGSTER_CHART=dagster python -m pytest inventory_assets_tests/deploy/test_chart.py
"""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from inventory_assets_tests.deploy.chart import (
    KUBERNETES,
    NAMESPACE,
    RELEASE,
    dagster_yaml,
    manifests,
    values,
)

CHART = os.environ.get("DAGSTER_CHART")
OTHER_IMAGES = {"docker.io/busybox:1.28"}
"""Waits until the name of the code server is known; the chart cannot do without."""

pytestmark = pytest.mark.skipif(CHART is None, reason="DAGSTER_CHART names no folder of the chart")
helm = pytest.importorskip("helm_python", reason="pip install helm-python-sdk")


def render(given: dict[str, Any]) -> list[dict[str, Any]]:
    """The manifests that Helm makes of values; the chart's schema is checked before."""
    with helm.Chart.load(str(CHART)) as chart:
        texts = chart.render(given, name=RELEASE, namespace=NAMESPACE)
    documents = [
        document
        for name, text in texts.items()
        if name.endswith(".yaml")
        for document in yaml.safe_load_all(text)
    ]
    return [document for document in documents if document]


@pytest.fixture(scope="module")
def rendered() -> list[dict[str, Any]]:
    return render(values())


def of_kind(rendered: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    """The manifests of a kind, by their names."""
    return {each["metadata"]["name"]: each for each in rendered if each["kind"] == kind}


def pods(rendered: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The templates of all pods, by the names of their deployments."""
    deployments = of_kind(rendered, "Deployment")
    return {name: each["spec"]["template"] for name, each in deployments.items()}


@pytest.mark.parametrize(
    ("section", "name"), [("telemetry", "enabled"), ("dagsterWebserver", "replicaCount")]
)
def test_the_chart_refuses_a_value_of_a_wrong_type(section: str, name: str) -> None:
    given = values()
    given[section] = {**given[section], name: ["no"]}
    with pytest.raises(helm.errors.HelmError, match=name):
        render(given)


def test_dagster_yaml_is_what_the_other_tests_read(rendered: list[dict[str, Any]]) -> None:
    settings = of_kind(rendered, "ConfigMap")[f"{RELEASE}-instance"]["data"]["dagster.yaml"]
    assert yaml.safe_load(settings) == dagster_yaml()


def test_kubernetes_knows_what_is_made(rendered: list[dict[str, Any]]) -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    for each in rendered:
        validator.validate(each, "1.31", strict=True)


def test_the_namespace_admits_the_pods(rendered: list[dict[str, Any]]) -> None:
    """It is `restricted`, and init containers count, too."""
    assert len(pods(rendered)) == 3
    for pod in (each["spec"] for each in pods(rendered).values()):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            closed = container["securityContext"]
            assert closed["allowPrivilegeEscalation"] is False
            assert closed["capabilities"] == {"drop": ["ALL"]}
            assert closed["readOnlyRootFilesystem"] is True


def test_all_images_are_named_in_the_profile(rendered: list[dict[str, Any]]) -> None:
    image = values()["dagsterWebserver"]["image"]
    ours = f"{image['repository']}:{image['tag']}"
    found = {
        container["image"]
        for pod in pods(rendered).values()
        for container in [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]
    }
    assert found == {ours, *OTHER_IMAGES}
    readme = (KUBERNETES / "README.md").read_text()
    assert [name for name in OTHER_IMAGES if name not in readme] == []


def test_the_network_policy_is_of_the_code_server(rendered: list[dict[str, Any]]) -> None:
    policies = [each["spec"] for each in manifests() if each["kind"] == "NetworkPolicy"]
    (policy,) = [each for each in policies if each["podSelector"]]
    wanted = policy["podSelector"]["matchLabels"].items()
    labels = {name: pod["metadata"]["labels"] for name, pod in pods(rendered).items()}
    (code,) = [name for name, has in labels.items() if wanted <= has.items()]
    (rule,) = policy["ingress"]
    (expression,) = rule["from"][0]["podSelector"]["matchExpressions"]
    callers = {has[expression["key"]] for name, has in labels.items() if name != code}
    assert callers == set(expression["values"])
    (server,) = values()["dagsterWebserver"]["workspace"]["servers"]
    service = of_kind(rendered, "Service")[server["host"]]["spec"]
    assert service["selector"].items() <= labels[code].items()
    assert [port["port"] for port in service["ports"]] == [server["port"]]


def test_only_the_launcher_has_a_role(rendered: list[dict[str, Any]]) -> None:
    bound = [
        subject["name"]
        for each in of_kind(rendered, "RoleBinding").values()
        for subject in each["subjects"]
    ]
    assert bound == [values()["serviceAccount"]["name"]]
    assert not of_kind(rendered, "ClusterRoleBinding")


def test_no_secret_is_made(rendered: list[dict[str, Any]]) -> None:
    assert not of_kind(rendered, "Secret")


def test_every_command_of_the_pages_names_a_deployment(rendered: list[dict[str, Any]]) -> None:
    pages = [KUBERNETES / "README.md", Path(__file__).parents[2] / "docs" / "deployment.md"]
    text = " ".join(page.read_text() for page in pages)
    named = set(re.findall(r"deployment/([a-z0-9-]+)", text))
    assert named
    assert named <= set(pods(rendered))
