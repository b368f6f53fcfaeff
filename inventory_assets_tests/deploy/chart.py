"""What Dagster's chart makes of `deploy/kubernetes/values.yaml`, where it decides how runs start.

The chart's templates need Helm, which is not here. They turn the values of the launcher into the
launcher's own configuration, name by name; this does the same.
"""

import re
from typing import Any

import yaml

from inventory_assets_tests.deploy.units import DEPLOY

KUBERNETES = DEPLOY / "kubernetes"
RELEASE = "dagster"
NAMESPACE = "inventory"


def values() -> dict[str, Any]:
    """The values that are given to the chart."""
    return dict(yaml.safe_load((KUBERNETES / "values.yaml").read_text()))


def manifests() -> list[dict[str, Any]]:
    """What is applied before the chart."""
    return list(yaml.safe_load_all((KUBERNETES / "namespace.yaml").read_text()))


def launcher_config() -> dict[str, Any]:
    """The `config` of `run_launcher` in the chart's `dagster.yaml`."""
    given = values()
    config = {
        snake(name): value
        for name, value in given["runLauncher"]["config"]["k8sRunLauncher"].items()
    }
    config["run_k8s_config"] = {
        snake(name): value for name, value in config["run_k8s_config"].items()
    }
    return {
        **config,
        "job_namespace": NAMESPACE,
        "service_account_name": given["serviceAccount"]["name"],
        "dagster_home": given["global"]["dagsterHome"],
        "instance_config_map": f"{RELEASE}-instance",
        "postgres_password_secret": given["global"]["postgresqlSecretName"],
    }


def instance_config() -> dict[str, Any]:
    """The chart's `dagster.yaml`, but for the launcher."""
    given = values()
    database = given["postgresql"]
    daemon = given["dagsterDaemon"]
    queue = daemon["runCoordinator"]
    logs = given["computeLogManager"]["config"]["s3ComputeLogManager"]
    return {
        "storage": {
            "postgres": {
                "postgres_db": {
                    "username": database["postgresqlUsername"],
                    "password": {"env": "DAGSTER_PG_PASSWORD"},
                    "hostname": database["postgresqlHost"],
                    "db_name": database["postgresqlDatabase"],
                    "port": database["service"]["port"],
                    "params": database["postgresqlParams"],
                    "scheme": database["postgresqlScheme"],
                }
            }
        },
        "run_coordinator": {
            "module": "dagster.core.run_coordinator",
            "class": queue["type"],
            "config": {
                snake(name): value
                for name, value in queue["config"]["queuedRunCoordinator"].items()
            },
        },
        "compute_logs": {
            "module": "dagster_aws.s3.compute_log_manager",
            "class": given["computeLogManager"]["type"],
            "config": {snake(name): value for name, value in logs.items()},
        },
        "run_monitoring": {snake(name): value for name, value in daemon["runMonitoring"].items()},
        "retention": {
            snake(name): {"purge_after_days": value["purgeAfterDays"]}
            for name, value in given["retention"].items()
            if name != "enabled"
        },
        "telemetry": given["telemetry"],
        **given["additionalInstanceConfig"],
    }


def snake(name: str) -> str:
    """A name as Dagster spells it: `jobSpecConfig` is `job_spec_config`."""
    return re.sub("([A-Z])", r"_\1", name).lower()
