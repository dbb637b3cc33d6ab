"""Errors as tables and as a figure."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import Compared, Errors

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]

COLUMNS = {
    "energy_rmse_total": ("energy_rmse_eV", 1.0),
    "energy_rmse": ("energy_rmse_meV_per_atom", 1e3),
    "energy_mae": ("energy_mae_meV_per_atom", 1e3),
    "energy_rmse_shifted": ("energy_rmse_shifted_meV_per_atom", 1e3),
    "forces_rmse": ("forces_rmse_meV_per_A", 1e3),
    "forces_mae": ("forces_mae_meV_per_A", 1e3),
    "forces_relative": ("forces_relative", 1.0),
    "stress_rmse": ("stress_rmse_meV_per_A3", 1e3),
    "stress_mae": ("stress_mae_meV_per_A3", 1e3),
}
"""Attribute of `Errors`, to column and factor."""


def make_rows(errors: Sequence[Errors]) -> list[dict[str, Any]]:
    """Return errors as plain data, in the units of the paper's tables."""
    return [
        {"group": each.group, "frames": each.frames}
        | {column: _scale(getattr(each, name), factor) for name, (column, factor) in COLUMNS.items()}
        for each in errors
    ]


def format_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV, what is not known empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def format_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the root mean square errors as lines for a terminal."""
    shown = {
        "group": "",
        "frames": "frames",
        "energy_rmse_meV_per_atom": "meV/atom",
        "forces_rmse_meV_per_A": "meV/A",
        "forces_relative": "of forces",
        "stress_rmse_meV_per_A3": "meV/A^3",
    }
    cells = [list(shown.values()), *([_show(row[name]) for name in shown] for row in rows)]
    widths = [max(len(line[k]) for line in cells) for k in range(len(shown))]
    lines = [
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
        for line in cells
    ]
    return "\n".join(line.rstrip() for line in lines)


def plot_parity(compared: Sequence[Compared], title: str) -> Figure:
    """Draw what was computed against the labels: energies, forces and stresses, each source in a colour."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.2), layout="constrained")
    panels = {
        "energy less the mean (eV/atom)": _energies,
        "forces (eV/$\\mathrm{\\AA}$)": lambda own: _both(own, lambda labels: labels.forces.ravel()),
        "stress (eV/$\\mathrm{\\AA}^3$)": _stresses,
    }
    sources = list(dict.fromkeys(str(each.atoms.info.get("source", "")) for each in compared))
    for ax, (label, values) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        for source in sources:
            own = [each for each in compared if str(each.atoms.info.get("source", "")) == source]
            reference, found = values(own)
            ax.plot(reference, found, ".", markersize=3, label=source, rasterized=True)
        ax.axline((0, 0), slope=1, color="0.6", linewidth=0.8, zorder=0)
        ax.set(xlabel=f"labels: {label}", ylabel="model")
    if len(sources) > 1:
        figure.axes[0].legend(fontsize="small")
    figure.suptitle(title)
    return figure


def _energies(own: Sequence[Compared]) -> tuple[Array, Array]:
    """Return energies per atom, less the mean of the labels of each composition."""
    compositions = [each.atoms.get_chemical_formula(empirical=True) for each in own]
    values = np.array([[each.labels.energy, each.predicted.energy] for each in own])
    values /= np.array([[len(each.atoms)] for each in own])
    for composition in set(compositions):
        rows = [k for k, each in enumerate(compositions) if each == composition]
        values[rows] -= values[rows, 0].mean()
    return values[:, 0], values[:, 1]


def _stresses(own: Sequence[Compared]) -> tuple[Array, Array]:
    known = [each for each in own if each.labels.stress is not None and each.predicted.stress is not None]
    return _both(known, lambda labels: labels.stress)


def _both(own: Sequence[Compared], get: Any) -> tuple[Array, Array]:
    if not own:
        return np.empty(0), np.empty(0)
    return np.concatenate([get(each.labels) for each in own]), np.concatenate([get(each.predicted) for each in own])


def _scale(value: float | None, factor: float) -> float | None:
    return None if value is None else float(f"{value * factor:.8g}")


def _show(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
