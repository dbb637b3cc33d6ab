"""One page on a screening: a table to sort, and plots whose points lead to the structures' own reports."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import Any, get_args

from matplotlib import rc_context
from matplotlib.figure import Figure

from phonopy_mlp.files import replacing
from phonopy_mlp.output import REPORT_FILE
from phonopy_mlp.report.markup import show
from phonopy_mlp.screen.store import GONE, UNFINISHED, Store
from phonopy_mlp.screen.task import State

PAGE_FILE = "screen.html"

_REPORT = Path(__file__).parents[1] / "report"

_COLUMNS = {
    "name": "Structure",
    "formula": "Formula",
    "natoms": "Atoms",
    "state": "State",
    "group_relaxed": "Space group",
    "volume_change": "Volume change",
    "phonon_lowest_frequency": "Lowest frequency (THz)",
    "phonon_imaginary_modes": "Imaginary modes",
    "bulk_modulus": "Bulk modulus (GPa)",
    "hill_bulk_modulus": "Bulk modulus, Hill (GPa)",
    "heat_per_atom": "Heat capacity, 300 K (J/K/mol atoms)",
    "free_energy_per_atom": "Vibrational free energy, 300 K (kJ/mol atoms)",
    "volumetric_expansion_300K": "Expansion of the volume, 300 K (1/K)",
    "doubtful": "Doubtful",
    "domain": "Outside of training",
    "seconds": "Time (s)",
    "error": "Error",
}
"""Titles of what is in the table where any structure has it."""


@dataclass(frozen=True, slots=True)
class Plot:
    """Two values against each other."""

    x: str
    y: str
    labels: tuple[str, str]
    log: bool = False


_PLOTS = (
    Plot("density", "bulk_modulus", ("Density (g/cm³)", "Bulk modulus (GPa)")),
    Plot("density", "heat_per_atom", ("Density (g/cm³)", "Heat capacity, 300 K (J/K/mol atoms)")),
    Plot("natoms", "phonon_lowest_frequency", ("Atoms", "Lowest frequency (THz)")),
    Plot("natoms", "seconds", ("Atoms", "Time of all steps (s)"), log=True),
)


def write_page(store: Store, path: Path) -> Path:
    """Write the page.

    Parameters
    ----------
    store : Store
    path : Path

    Raises
    ------
    OutputError
        It cannot be written.
    """
    rows = [_describe(row, path.parent) for row in store.rows()]
    page = Template((Path(__file__).parent / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(Path(store.where).name),
        style=(_REPORT / "page.css").read_text(encoding="utf-8"),
        tiles="".join(_tile(state, rows) for state in (*get_args(State), UNFINISHED))
        + (_tile(GONE, rows) if any(row["state"] == GONE for row in rows) else ""),
        figures="".join(_draw(plot, rows) for plot in _PLOTS),
        table=_table(rows),
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _describe(row: Any, folder: Path) -> dict[str, Any]:
    """Return what the page says of a row."""
    values = dict(row.key_value_pairs)
    found = {**values, "formula": row.formula, "natoms": row.natoms}
    # ASE's rows have no volume where the cell has none.
    if row.natoms and row.get("volume"):
        found["density"] = row.mass / row.volume * _GRAMS_PER_CM3
    found["seconds"] = sum(value for name, value in values.items() if name.endswith("_seconds"))
    if "primitive_atoms" in values:
        for name, key in (("heat_per_atom", "heat_capacity_300K"), ("free_energy_per_atom", "free_energy_300K")):
            if key in values:
                found[name] = values[key] / values["primitive_atoms"]
    report = folder / "tasks" / values["name"] / "phonons" / REPORT_FILE
    if "phonons" in values["steps"].split(",") and report.is_file():
        found["report"] = os.path.relpath(report, folder).replace(os.sep, "/")
    return found


_GRAMS_PER_CM3 = 1.66053906660
"""Of 1 u/A^3."""


def _tile(state: str, rows: Sequence[Mapping[str, Any]]) -> str:
    return f"<div><span>{state}</span><b>{sum(row['state'] == state for row in rows)}</b></div>"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = [name for name in _COLUMNS if any(row.get(name) not in (None, "") for row in rows)]
    head = "".join(f"<th><button>{escape(_COLUMNS[name])}</button></th>" for name in columns)
    body = "".join(f"<tr>{''.join(_cell(row, name) for name in columns)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table id="structures"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _cell(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    text = escape("" if value is None else show(value))
    if name == "name" and "report" in row:
        text = f'<a href="{escape(row["report"])}">{text}</a>'
    key = "" if value is None else escape(str(value))
    return f'<td data-key="{key}"{" class=long" if name == "error" else ""}>{text}</td>'


def _draw(plot: Plot, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a plot as SVG, whose points are links where there are reports."""
    known = [row for row in rows if row.get(plot.x) is not None and row.get(plot.y) is not None]
    if plot.log:
        known = [row for row in known if row[plot.x] > 0 and row[plot.y] > 0]
    if not known:
        return ""
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": plot.y}):
        figure = Figure(figsize=(5, 3.6), layout="constrained")
        axes = figure.subplots()
        points = axes.scatter([row[plot.x] for row in known], [row[plot.y] for row in known], s=26, alpha=0.75)
        points.set_urls([row.get("report") for row in known])
        axes.set(xlabel=plot.labels[0], ylabel=plot.labels[1])
        if plot.log:
            axes.set(xscale="log", yscale="log")
        if min(row[plot.y] for row in known) < 0:
            axes.axhline(0, lw=0.8, color="0.5")
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    _, start, rest = text.getvalue().partition("<svg")
    return f"<figure>{start}{rest}</figure>"
