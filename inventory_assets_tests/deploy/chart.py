"""What Dagster's chart makes of `deploy/kubernetes/values.yaml`: its `dagster.yaml`.

Neither the chart nor Helm is part of this project's environment. So this says what the chart's
templates write, and `test_chart.py` compares it with them where both are at hand.
"""

import re
from typing import Any

import yaml

from inventory_assets_tests.deploy.units import DEPLOY

KUBERNETES = DEPLOY / "kubernetes"
RELEASE = "dagster"
NAMESPACE = "inventory"
STORAGES = (
    ("run_storage", "dagster_postgres.run_storage", "PostgresRunStorage"),
    ("event_log_storage", "dagster_postgres.event_log", "PostgresEventLogStorage"),
    ("schedule_storage", "dagster_postgres.schedule_storage", "PostgresScheduleStorage"),
)
"""The settings of Dagster's history, which the chart names one by one."""


def values() -> dict[str, Any]:
    """The values that are given to the chart."""
    return dict(yaml.safe_load((KUBERNETES / "values.yaml").read_text()))


def manifests() -> list[dict[str, Any]]:
    """What is applied before the chart."""
    return list(yaml.safe_load_all((KUBERNETES / "namespace.yaml").read_text()))


def dagster_yaml() -> dict[str, Any]:
    """The `dagster.yaml` of all pods but the code server's."""
    given = values()
    daemon = given["dagsterDaemon"]
    queue = daemon["runCoordinator"]
    logs = given["computeLogManager"]
    threads = {"use_threads": True, "num_workers": 4}
    return {
        **{name: _plugin(module, kind, _database()) for name, module, kind in STORAGES},
        "scheduler": {"module": "dagster._core.scheduler", "class": "DagsterDaemonScheduler"},
        "run_launcher": _plugin("dagster_k8s", given["runLauncher"]["type"], launcher_config()),
        "run_coordinator": _plugin(
            "dagster._core.run_coordinator",
            queue["type"],
            {
                **_snake_keys(queue["config"]["queuedRunCoordinator"]),
                "dequeue_use_threads": True,
                "dequeue_num_workers": 4,
            },
        ),
        "compute_logs": _plugin(
            "dagster_aws.s3.compute_log_manager",
            logs["type"],
            {**_snake_keys(logs["config"]["s3ComputeLogManager"]), "verify": True},
        ),
        "run_monitoring": _snake_keys(daemon["runMonitoring"]),
        "sensors": threads,
        "schedules": threads,
        "retention": {
            snake(name): {"purge_after_days": value["purgeAfterDays"]}
            for name, value in given["retention"].items()
            if name != "enabled"
        },
        "telemetry": given["telemetry"],
        **given["additionalInstanceConfig"],
    }


def launcher_config() -> dict[str, Any]:
    """The `config` of `run_launcher` in `dagster.yaml`."""
    given = values()
    config = _snake_keys(given["runLauncher"]["config"]["k8sRunLauncher"])
    return {
        **config,
        "run_k8s_config": _snake_keys(config["run_k8s_config"]),
        "job_namespace": NAMESPACE,
        "service_account_name": given["serviceAccount"]["name"],
        "dagster_home": given["global"]["dagsterHome"],
        "instance_config_map": f"{RELEASE}-instance",
        "postgres_password_secret": given["global"]["postgresqlSecretName"],
    }


def snake(name: str) -> str:
    """A name as Dagster spells it: `jobSpecConfig` is `job_spec_config`."""
    return re.sub("([A-Z])", r"_\1", name).lower()


def _database() -> dict[str, Any]:
    given = values()["postgresql"]
    return {
        "postgres_db": {
            "username": given["postgresqlUsername"],
            "password": {"env": "DAGSTER_PG_PASSWORD"},
            "hostname": given["postgresqlHost"],
            "db_name": given["postgresqlDatabase"],
            "port": given["service"]["port"],
            "params": given["postgresqlParams"],
            "scheme": given["postgresqlScheme"],
        }
    }


def _plugin(module: str, kind: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"module": module, "class": kind, "config": config}


def _snake_keys(given: dict[str, Any]) -> dict[str, Any]:
    return {snake(name): value for name, value in given.items()}
