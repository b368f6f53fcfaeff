"""The systemd units of `deploy/single-server`, read as systemd reads them."""

import shlex
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DEPLOY = Path(__file__).parents[2] / "deploy"
SINGLE_SERVER = DEPLOY / "single-server"
UNITS = SINGLE_SERVER / "systemd"
COMMON = UNITS / "inventory-.service.d" / "common.conf"
SERVICES = ("code", "daemon", "webserver")

Settings = Mapping[str, Mapping[str, list[str]]]
"""Of each section, the values of each name in their order."""


@dataclass(frozen=True, slots=True)
class Service:
    """What systemd starts.

    Attributes:
        command: The program and its arguments.
        started: What ends when the program is ready; None if it is at once.
        environment: What the unit and its file of variables set.
    """

    command: list[str]
    started: list[str] | None
    environment: dict[str, str]


def unit_file(name: str) -> Path:
    """The file of one of `SERVICES`."""
    return UNITS / f"inventory-{name}.service"


def settings_of(name: str) -> Settings:
    """The settings of a service, with those that all share."""
    found: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    section = ""
    for line in f"{unit_file(name).read_text()}\n{COMMON.read_text()}".splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith(("#", ";")):
            setting, _, value = line.partition("=")
            found[section][setting].append(value)
    return found


def environment_file(text: str) -> dict[str, str]:
    """The variables of an `EnvironmentFile=`."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def service_of(name: str, variables: Mapping[str, str]) -> Service:
    """What a unit starts.

    Args:
        name: One of `SERVICES`.
        variables: Those of its `EnvironmentFile=`.
    """
    settings = settings_of(name)["Service"]
    # A file's variables win over the unit's.
    environment = {**dict(each.split("=", 1) for each in settings["Environment"]), **variables}

    def words(line: str) -> list[str]:
        for variable, value in environment.items():
            line = line.replace(f"${{{variable}}}", value)
        return shlex.split(line)

    (start,) = settings["ExecStart"]
    started = settings.get("ExecStartPost")
    return Service(words(start), words(started[0]) if started else None, environment)
