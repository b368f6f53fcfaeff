"""Write the first `defs.yaml` of a component."""

import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
from dagster.components.component_scaffolding import scaffold_component

_DEFS_YAML = """\
type: {type_name}

attributes:
  store: data/inventory         # a folder, from the project's root; or s3://bucket/prefix
  # key_prefix: [storage]       # precedes the source in asset keys; also group_name, owners, tags
  sources:
    {name}:
      bucket: my-bucket         # a template can be any value: "{{{{ env('BUCKET', 'default') }}}}"
      region: eu-west-1         # for a store other than AWS, endpoint_url
      # prefix: 2026/           # only keys that start with it
      shards:
        depth: 1                # a partition for each prefix of the first level
      schedule:                 # also cron, timezone, and runs if one is not enough
        start_date: "{today}"  # the first date; earlier ones can no longer be listed
      # retention: {{keep_days: 400}}  # removes older dates; without it, all are kept
"""


class S3InventoryScaffolder(dg.Scaffolder):
    """Writes `defs.yaml` with one source, which has the name of the folder.

    The source's first date is the day on which the file is written, since a listing can be made of
    that day and the one before only: without a `start_date`, Dagster would show a year of dates
    that nothing can fill.
    """

    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        """Write the file, or append to one."""
        if request.scaffold_format == "python":
            scaffold_component(request)
            return
        path = request.target_path if request.append else request.target_path / "defs.yaml"
        folder = path.parent.name
        text = _DEFS_YAML.format(
            type_name=request.type_name, name=source_name(folder), today=_today().isoformat()
        )
        with Path(path).open("a" if request.append else "w", encoding="utf-8") as file:
            file.write(f"---\n{text}" if request.append else text)


def _today() -> date:
    return datetime.now(UTC).date()


def source_name(folder: str) -> str:
    """The name of a folder as the name of a source: lower-case letters, digits and '_'."""
    name = re.sub(r"[^a-z0-9]+", "_", folder.lower()).strip("_")[:40]
    return name if name[:1].isalpha() else f"s3_{name}"[:40].strip("_")
