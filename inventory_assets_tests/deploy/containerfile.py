"""The instructions of a Containerfile, as far as ours uses them."""

import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from inventory_assets_tests.deploy.units import DEPLOY

CONTAINERFILE = DEPLOY / "container" / "Containerfile"


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its name in upper case, and all after it on one line."""

    name: str
    value: str

    @property
    def words(self) -> list[str]:
        """The value as words, or as the JSON list that it is."""
        if self.value.startswith("["):
            return [str(word) for word in json.loads(self.value)]
        return shlex.split(self.value)


@dataclass(frozen=True, slots=True)
class Stage:
    """What is built upon one base.

    Attributes:
        base: The image that it begins with.
        name: What other stages call it; "" if none does.
        instructions: All after `FROM`.
    """

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def last(self, name: str) -> Instruction:
        """The instruction that wins among several of a name."""
        return [each for each in self.instructions if each.name == name][-1]

    @property
    def environment(self) -> dict[str, str]:
        """All variables that it sets."""
        words = [word for each in self.instructions if each.name == "ENV" for word in each.words]
        return dict(word.split("=", 1) for word in words)


def stages_of(file: Path = CONTAINERFILE) -> list[Stage]:
    """The stages of a Containerfile, in their order."""
    stages: list[Stage] = []
    for line in _joined(file.read_text()):
        name, _, value = line.partition(" ")
        if name == "FROM":
            base, _, alias = value.partition(" AS ")
            stages.append(Stage(base, alias))
        else:
            stages[-1].instructions.append(Instruction(name.upper(), value.strip()))
    return stages


def _joined(text: str) -> list[str]:
    """The lines without comments, each continued one joined with what continues it."""
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    joined: list[str] = []
    is_continued = False
    for line in lines:
        part = line.strip().removesuffix("\\").rstrip()
        if is_continued:
            joined[-1] += f" {part}"
        else:
            joined.append(part)
        is_continued = line.endswith("\\")
    return joined
