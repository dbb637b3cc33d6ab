"""HTML of plain data. Everything that comes from outside is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

_SHORT = 40
"""Characters of a table's cell that stay on one line."""


def paragraph(text: str, *, kind: str = "") -> str:
    """Return a paragraph of plain text, of a class where one is named."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def table(rows: Iterable[Sequence[Any]], *, head: Sequence[str] = ()) -> str:
    """Return a table of plain values, which scrolls by itself where it is too wide."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    top = f"<thead><tr>{top}</tr></thead>" if head else ""
    return f'<div class="scroll"><table>{top}<tbody>{body}</tbody></table></div>'


def facts(pairs: Iterable[tuple[str, Any]]) -> str:
    """Return names and plain values, one pair a row."""
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(show(value))}</td></tr>" for name, value in pairs)
    return f'<div class="scroll"><table class="facts"><tbody>{rows}</tbody></table></div>'


def nested(value: Any) -> str:
    """Return nested plain data as nested lists."""
    if isinstance(value, Mapping):
        items = "".join(
            f"<li><b>{escape(str(name).replace('_', ' '))}</b>{_inner(item)}</li>" for name, item in value.items()
        )
        return f"<ul>{items}</ul>"
    if isinstance(value, list) and any(isinstance(item, Mapping | list | str) for item in value):
        return f"<ul>{''.join(f'<li>{nested(item)}</li>' for item in value)}</ul>"
    return escape(show(value))


def details(summary: str, inner: str) -> str:
    """Return HTML that is folded under a line of plain text."""
    return f"<details><summary>{escape(summary)}</summary>{inner}</details>"


def code(text: str, *, name: str) -> str:
    """Return preformatted plain text with a button that copies it."""
    return (
        f'<div class="copy"><button type="button" data-copies="{escape(name)}">Copy</button>'
        f'<pre id="{escape(name)}">{escape(text)}</pre></div>'
    )


def link(address: str, text: str) -> str:
    """Return a link to a page elsewhere, which nothing but a click loads."""
    return f'<a href="{escape(address)}" rel="noreferrer">{escape(text)}</a>'


def show(value: Any) -> str:
    """Return a plain value as text: numbers to six digits, None as a dash."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value + 0.0:.6g}"
    if isinstance(value, list | tuple):
        return " ".join(show(item) for item in value)
    return str(value)


def _cell(value: Any) -> str:
    text = show(value)
    kind = ' class="long"' if len(text) > _SHORT else ""
    return f"<td{kind}>{escape(text)}</td>"


def _inner(value: Any) -> str:
    return nested(value) if isinstance(value, Mapping) else f": {nested(value)}"
