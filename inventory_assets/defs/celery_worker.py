"""The Celery app of a worker: `celery --app inventory_assets.defs.celery_worker worker`.

A worker has the settings of the run launcher in `dagster.yaml`, so that both name the same broker
and queues, and no address or password stands in two places.
"""

from dagster import DagsterInstance
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tasks import create_execute_job_task, create_resume_job_task

from inventory_assets.errors import InventoryError


def _app() -> object:
    launcher = DagsterInstance.get().run_launcher
    if not isinstance(launcher, CeleryRunLauncher):
        raise InventoryError(
            f"the run launcher in dagster.yaml is {type(launcher).__name__}, which starts no runs "
            "on Celery's workers; set DAGSTER_HOME to a folder with the dagster.yaml of "
            "deploy/celery"
        )
    create_execute_job_task(launcher.celery)
    create_resume_job_task(launcher.celery)
    return launcher.celery


app = _app()
