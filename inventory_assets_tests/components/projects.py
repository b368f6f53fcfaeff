"""Dagster projects with components, as text of their YAML files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import dagster as dg
import pytest
from dagster.components.core.component_tree import ComponentTreeException
from dagster.components.testing import DefsFolderSandbox, create_defs_folder_sandbox

from inventory_assets import S3InventoryComponent
from inventory_assets.config import ConfigError

TYPE = "inventory_assets.S3InventoryComponent"


def write_component(
    project: DefsFolderSandbox, attributes: str, folder: str = "logs", rest: str = ""
) -> Path:
    """Write a `defs.yaml` with these attributes, and return its folder."""
    path = project.defs_folder_path / folder
    path.mkdir(exist_ok=True)
    lines = "".join(f"  {line}\n" for line in dedent(attributes).strip().splitlines())
    text = f"type: {TYPE}\nattributes:\n{lines}{dedent(rest)}"
    (path / "defs.yaml").write_text(text, "utf-8")
    return path


@contextmanager
def loaded(
    attributes: str, rest: str = ""
) -> Iterator[tuple[S3InventoryComponent, dg.Definitions, Path]]:
    """The component, its definitions, and the root of a project with this one component."""
    with create_defs_folder_sandbox() as project:
        write_component(project, attributes, rest=rest)
        with project.build_component_tree() as tree:
            (component,) = tree.get_all_components(S3InventoryComponent)
            yield component, tree.build_defs(), project.project_root


def mistakes(attributes: str) -> list[str]:
    """The lines of the error, without the file, which every one of them names."""
    with create_defs_folder_sandbox() as project:
        file = write_component(project, attributes) / "defs.yaml"
        lines = refusal(project).splitlines()
    assert all(line.startswith(f"{file}:") for line in lines), lines
    return [line.removeprefix(f"{file}:") for line in lines]


def refusal(project: DefsFolderSandbox) -> str:
    """The message of the error with which a project does not load."""
    with (
        project.build_component_tree() as tree,
        pytest.raises(ComponentTreeException) as caught,
    ):
        tree.build_defs()
    # Dagster names the component in an error of its own, and ours is its cause.
    error: BaseException | None = caught.value
    while isinstance(error, ComponentTreeException):
        error = error.__cause__
    assert isinstance(error, ConfigError)
    return str(error)
