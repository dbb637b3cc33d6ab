"""What several models say: the spread of frequencies, densities of states, thermal properties and expansion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from phonopy_mlp.arrays import Array
from phonopy_mlp.committee.output import COMMITTEE_FILE, EXPANSION_FILE
from phonopy_mlp.committee.spread import Measure, Spread
from phonopy_mlp.plot import COLOURS
from phonopy_mlp.report.chart import Curve, draw_chart
from phonopy_mlp.report.folder import FinishedRun
from phonopy_mlp.report.markup import paragraph, table
from phonopy_mlp.report.section import Figure, Section

_WORDS: Mapping[Measure, str] = {"difference": "difference", "standard_deviation": "standard deviation"}

_TABLES = {
    "committee_dos.dat": (("dos", "committee_dos", "Density of states", "DOS (1/THz)", 1.0),),
    "committee_thermal.dat": (
        ("F_kJ/mol", "committee_free_energy", "Vibrational Helmholtz energy", "F (kJ/mol)", 1.0),
        ("S_J/K/mol", "committee_entropy", "Vibrational entropy", "S (J/K/mol)", 1.0),
        ("Cv_J/K/mol", "committee_heat_capacity", "Heat capacity at constant volume", "Cᵥ (J/K/mol)", 1.0),
    ),
    EXPANSION_FILE: (
        ("V_A^3", "committee_volume", "Volume at zero pressure", "V (Å³/primitive cell)", 1.0),
        ("alpha_V_1/K", "committee_expansion", "Volumetric expansion coefficient", "Volumetric α (10⁻⁶/K)", 1e6),
        ("B_GPa", "committee_bulk_modulus", "Isothermal bulk modulus", "B (GPa)", 1.0),
    ),
}
"""Of each file: quantity, name, caption, axis, and factor to the axis's unit."""


def make(run: FinishedRun) -> Section | None:
    """Return the spread of what a committee computed, with the members."""
    content = run.read_yaml(COMMITTEE_FILE) if run.did("committee") else None
    if content is None:
        return None
    names = [member["name"] for member in content["members"]]
    word = _WORDS[content["spread"]]
    figure = _draw_modes([Spread.of(point["members"]) for point in content["frequencies"]], word)
    bars = "The bars end at the two models." if len(names) == 2 else "The bars are standard deviations."
    return Section(
        "committee",
        "What other models say",
        before=paragraph(
            f"Each of {', '.join(names)} at its own minimum. {bars} Models that agree may be wrong together: the "
            f"{word} tells what the training data leave undecided, not the error."
        )
        + table(_rows(content), head=("", *names, "mean", word)),
        figures=(figure, *_from_tables(run)),
    )


def _rows(content: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = [
        ("Lowest commensurate frequency (THz)", *(member["lowest_frequency"] for member in content["members"]), "", "")
    ]
    for name, title in (("volume", "Volume (Å³/primitive cell)"), ("bulk_modulus", "Bulk modulus (GPa)")):
        if name in content:
            spread = content[name]
            rows.append((title, *spread["members"], spread["mean"], spread[content["spread"]]))
    return rows


def _draw_modes(points: list[Spread], word: str) -> Figure:
    """Return the spread of each mode against its frequency."""
    frequencies = np.concatenate([point.mean for point in points])
    sizes = np.concatenate([point.size for point in points])
    return draw_chart(
        "committee_modes",
        f"{word.capitalize()} of each mode at the commensurate q-points, modes paired by their eigenvectors.",
        "Mean frequency (THz)",
        f"{word.capitalize()} (THz)",
        [Curve(frequencies, sizes, style="points")],
    )


def _from_tables(run: FinishedRun) -> list[Figure]:
    figures = []
    for file, quantities in _TABLES.items():
        columns = run.read_columns(file)
        if columns is None:
            continue
        for quantity, name, caption, axis, factor in quantities:
            x, title = _abscissa(columns)
            curve = _with_spread(x, columns, quantity, factor)
            figures.append(draw_chart(name, f"{caption}, mean and spread.", title, axis, [curve]))
    return figures


def expansion_curve(run: FinishedRun, quantity: str, factor: float) -> Curve | None:
    """Return mean and spread of a quantity of the expansion against temperature, or None where no committee has it."""
    columns = run.read_columns(EXPANSION_FILE) if run.did("committee") else None
    if columns is None:
        return None
    return _with_spread(columns["T_K"], columns, quantity, factor, "mean and spread of the models", COLOURS[1])


def _with_spread(
    x: Array, columns: Mapping[str, Array], quantity: str, factor: float, label: str = "", colour: str = COLOURS[0]
) -> Curve:
    spread = Spread.of([factor * own for own in _members(columns, quantity)])
    return Curve(x, spread.mean, label, colour, errors=spread.upper - spread.mean)


def _abscissa(columns: Mapping[str, Array]) -> tuple[Array, str]:
    if "T_K" in columns:
        return columns["T_K"], "Temperature (K)"
    return (columns["from_THz"] + columns["to_THz"]) / 2, "Frequency (THz)"


def _members(columns: Mapping[str, Array], quantity: str) -> list[Array]:
    """Return a quantity by each member; the columns are named ``QUANTITY:NUMBER:MODEL``."""
    found = [column for name, column in columns.items() if name.split(":")[0] == quantity and name.count(":") == 2]
    if len(found) < 2:
        raise KeyError(quantity)
    return found
