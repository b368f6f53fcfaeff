"""`deploy/kubernetes`, validated: there is no cluster here.

The launcher of dagster-k8s reads its configuration and builds the job of a run, which is looked at.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import DagsterInstance, DagsterRun
from dagster._core.instance.config import dagster_instance_config
from dagster_aws.s3 import S3ComputeLogManager
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import DagsterK8sJobConfig, construct_dagster_k8s_job
from dagster_k8s.launcher import K8sRunLauncher
from kubernetes.client import ApiClient

from inventory_assets.config import load_config
from inventory_assets.config.store import StoreBucket
from inventory_assets_tests.deploy.chart import (
    NAMESPACE,
    STORAGES,
    dagster_yaml,
    launcher_config,
    manifests,
    values,
)
from inventory_assets_tests.deploy.containerfile import stages_of
from inventory_assets_tests.deploy.units import DEPLOY

IMAGE = "registry.example.com/inventory-assets:0.1.0"
USER = int(stages_of()[-1].last("USER").value.partition(":")[0])
VOLUMES = set(stages_of()[-1].last("VOLUME").words)


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[K8sRunLauncher]:
    """The launcher, loaded by Dagster, which knows a cluster that is not there."""
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "none",
        "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
        "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "none", "user": {}}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
    config = {
        **launcher_config(),
        "load_incluster_config": False,
        "kubeconfig_file": str(tmp_path / "kubeconfig"),
    }
    settings = dagster_yaml()
    for name, _, _ in STORAGES:
        del settings[name]
    settings["storage"] = {"sqlite": {"base_dir": str(tmp_path)}}
    settings["run_launcher"]["config"] = config
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(settings))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        assert isinstance(instance.compute_log_manager, S3ComputeLogManager)
        found = instance.run_launcher
        assert isinstance(found, K8sRunLauncher)
        yield found


@pytest.fixture
def job(launcher: K8sRunLauncher) -> dict[str, Any]:
    """The job of a run, as it is sent to Kubernetes."""
    context = K8sContainerContext.create_for_run(
        DagsterRun(job_name="__ASSET_JOB"), launcher, include_run_tags=True
    )
    config = context.get_k8s_job_config(job_image=IMAGE, run_launcher=launcher)
    assert isinstance(config, DagsterK8sJobConfig)
    built = construct_dagster_k8s_job(
        job_config=config,
        args=["dagster", "api", "execute_run"],
        job_name="dagster-run-1",
        component="run_worker",
        user_defined_k8s_config=context.run_k8s_config,
    )
    return dict(ApiClient().sanitize_for_serialization(built))


def pod_of(job: dict[str, Any]) -> dict[str, Any]:
    return dict(job["spec"]["template"]["spec"])


def test_dagster_reads_the_settings_that_the_chart_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_PG_PASSWORD", "any")
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(dagster_yaml()))
    read, _ = dagster_instance_config(str(tmp_path))
    assert read["run_retries"]["retry_on_asset_or_op_failure"] is False
    assert read["run_monitoring"]["enabled"] is True


def test_a_run_has_no_privileges_and_a_root_that_is_read_only(job: dict[str, Any]) -> None:
    pod = pod_of(job)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == USER
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_a_run_can_write_where_the_image_says(job: dict[str, Any]) -> None:
    pod = pod_of(job)
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    (container,) = pod["containers"]
    writable = {
        mount["mountPath"]
        for mount in container["volumeMounts"]
        if "emptyDir" in volumes[mount["name"]]
    }
    assert writable == VOLUMES


def test_a_run_has_an_account_that_may_do_nothing_in_the_cluster(job: dict[str, Any]) -> None:
    name = pod_of(job)["serviceAccountName"]
    assert name != values()["serviceAccount"]["name"]
    accounts = [each for each in manifests() if each["kind"] == "ServiceAccount"]
    assert [account["metadata"]["name"] for account in accounts] == [name]
    assert not [each for each in manifests() if each["kind"].endswith("RoleBinding")]


def test_a_run_gets_the_password_from_a_secret(job: dict[str, Any]) -> None:
    (container,) = pod_of(job)["containers"]
    (password,) = [each for each in container["env"] if each["name"] == "DAGSTER_PG_PASSWORD"]
    assert password["valueFrom"]["secretKeyRef"] == {
        "name": values()["global"]["postgresqlSecretName"],
        "key": "postgresql-password",
    }


def test_a_run_reads_the_same_sources_as_the_code_server(job: dict[str, Any]) -> None:
    (container,) = pod_of(job)["containers"]
    of_run = {each["name"]: each.get("value") for each in container["env"]}
    (deployment,) = values()["dagster-user-deployments"]["deployments"]
    for variable in deployment["env"]:
        if variable["name"] != "DAGSTER_HOME":
            assert of_run[variable["name"]] == variable["value"]
    folder = Path(of_run["INVENTORY_CONFIG"]).parent
    mounts = {Path(mount["mountPath"]): mount["name"] for mount in container["volumeMounts"]}
    (volume,) = [each for each in pod_of(job)["volumes"] if each["name"] == mounts[folder]]
    (sources,) = [each for each in manifests() if each["kind"] == "ConfigMap"]
    assert volume["configMap"]["name"] == sources["metadata"]["name"]
    assert Path(of_run["INVENTORY_CONFIG"]).name in sources["data"]


def test_the_code_server_can_write_to_its_home() -> None:
    """The chart gives it no dagster.yaml, and without one Dagster writes to its home."""
    (deployment,) = values()["dagster-user-deployments"]["deployments"]
    variables = {each["name"]: each["value"] for each in deployment["env"]}
    assert variables["DAGSTER_HOME"] in VOLUMES


def test_the_sources_are_valid_and_their_results_go_to_a_bucket(tmp_path: Path) -> None:
    (sources,) = [each for each in manifests() if each["kind"] == "ConfigMap"]
    (tmp_path / "inventory.toml").write_text(sources["data"]["inventory.toml"])
    config = load_config(tmp_path / "inventory.toml")
    assert isinstance(config.store, StoreBucket)
    logs = values()["computeLogManager"]["config"]["s3ComputeLogManager"]
    assert not f"{logs['prefix']}/".startswith(f"{config.store.prefix}/")


def test_a_misspelt_setting_of_the_launcher_is_refused(tmp_path: Path) -> None:
    config = {**launcher_config(), "security_contxt": {}}
    settings = {"run_launcher": {**dagster_yaml()["run_launcher"], "config": config}}
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(settings))
    with (
        DagsterInstance.from_config(str(tmp_path)) as instance,
        pytest.raises(Exception, match="security_contxt"),
    ):
        assert instance.run_launcher


def test_the_pods_of_the_chart_are_as_closed_as_runs() -> None:
    given = values()
    (deployment,) = given["dagster-user-deployments"]["deployments"]
    for pod in (given["dagsterWebserver"], given["dagsterDaemon"], deployment):
        assert pod["podSecurityContext"]["runAsUser"] == USER
        assert pod["securityContext"]["readOnlyRootFilesystem"] is True
        assert {mount["mountPath"] for mount in pod["volumeMounts"]} >= VOLUMES
        assert pod["image"] == given["dagsterWebserver"]["image"]


def test_schedules_keep_their_names_when_the_profile_changes() -> None:
    """Dagster keeps them under the name of the code location."""
    (server,) = values()["dagsterWebserver"]["workspace"]["servers"]
    (deployment,) = values()["dagster-user-deployments"]["deployments"]
    assert (server["host"], server["port"]) == (deployment["name"], deployment["port"])
    for profile in ("single-server", "ecs"):
        workspace = yaml.safe_load((DEPLOY / profile / "workspace.yaml").read_text())
        (other,) = (each["grpc_server"] for each in workspace["load_from"])
        assert other["location_name"] == server["name"]


def test_the_chart_is_of_the_version_that_is_locked() -> None:
    lock = (DEPLOY.parent / "requirements-server.lock").read_text()
    (version,) = re.findall(r"^dagster==(\S+)", lock, re.MULTILINE)
    for page in ("values.yaml", "README.md"):
        assert version in (DEPLOY / "kubernetes" / page).read_text()


def test_the_code_server_can_be_reached_by_dagster_alone() -> None:
    policies = [each["spec"] for each in manifests() if each["kind"] == "NetworkPolicy"]
    (closed,) = [each for each in policies if not each["podSelector"]]
    assert closed["policyTypes"] == ["Ingress"]
    assert "ingress" not in closed
    (opened,) = [each for each in policies if each["podSelector"]]
    (rule,) = opened["ingress"]
    (deployment,) = values()["dagster-user-deployments"]["deployments"]
    assert [port["port"] for port in rule["ports"]] == [deployment["port"]]


def test_kubernetes_knows_what_is_applied(job: dict[str, Any]) -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    for each in [*manifests(), job]:
        validator.validate(each, "1.31", strict=True)
    (namespace,) = [each for each in manifests() if each["kind"] == "Namespace"]
    assert namespace["metadata"]["name"] == NAMESPACE
