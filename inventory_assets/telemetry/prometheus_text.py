"""Write figures in Prometheus's text format.

Names follow OpenTelemetry's rules for Prometheus, so that a figure has the same name whichever way
it came (https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/).
"""

import re
from collections.abc import Iterable

from inventory_assets.telemetry.source_figures import Figure

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SUFFIXES = {"s": "_seconds", "By": "_bytes"}
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def prometheus_text(figures: Iterable[Figure]) -> str:
    """The figures as text; those of one name are beside each other."""
    of_name: dict[str, list[Figure]] = {}
    for figure in figures:
        of_name.setdefault(prometheus_name(figure), []).append(figure)
    lines: list[str] = []
    for name, same in of_name.items():
        lines += [f"# HELP {name} {same[0].description}", f"# TYPE {name} gauge"]
        lines += [f"{name}{_labels(each)} {each.value!r}" for each in same]
    return "\n".join(lines) + "\n"


def prometheus_name(figure: Figure) -> str:
    """The name of a figure in Prometheus."""
    return _plain(figure.name) + _SUFFIXES.get(figure.unit, "")


def _labels(figure: Figure) -> str:
    pairs = (
        f'{_plain(name)}="{value.translate(_ESCAPES)}"' for name, value in figure.attributes.items()
    )
    labels = ",".join(pairs)
    return f"{{{labels}}}" if labels else ""


def _plain(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_]", "_", name)
