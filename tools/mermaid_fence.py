"""Render Mermaid code blocks to SVG when the site is built, so that no page loads a script."""

from collections.abc import Mapping
from typing import Any


def render_mermaid(
    source: str,
    _language: str,
    _class_name: str,
    _options: Mapping[str, Any],
    _markdown: object,
    **_attributes: object,
) -> str:
    """The SVG of a diagram: a custom fence of pymdownx.superfences.

    Args:
        source: The text of the code block.
    """
    import mermaidx

    svg: str = mermaidx.render(source, theme="neutral").svg()
    return f'<figure class="diagram">{svg}</figure>'
