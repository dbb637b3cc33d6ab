"""Table 4: errors of energies, forces and stresses on configurations that training never saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ase import Atoms

from paper.bars import draw_bars
from paper.gfn1 import NAME
from paper.study import Study
from phonopy_mlp.compare import LabelComparison, compare_labels
from phonopy_mlp.compare.labels import Parity, read_labelled
from phonopy_mlp.compare.plots import plot_labels
from phonopy_mlp.registry import get_calculator

QUANTITIES = {
    "rmsd_energy_meV_per_atom": "RMSD of energies (meV/atom)",
    "rmsd_forces_eV_per_A": r"RMSD of forces (eV/$\mathrm{\AA}$)",
    "rmsd_stress_meV_per_A3": r"RMSD of stresses (meV/$\mathrm{\AA}^3$)",
}
"""Columns that the published table has, too."""


def run(study: Study) -> None:
    """Write ``table4.csv``, ``table4.png`` and a parity plot, ``table4-parity.png``."""
    against = NAME if study.labels is None else study.labels.name
    rows: list[dict[str, Any]] = []
    everything: list[Atoms] = []
    for framework, load in _sources(study).items():
        with study.trying(framework, "labels"):
            frames = load()
            rows.append(_row(study, against, framework, compare_labels(frames, get_calculator(study.model))))
            everything += frames
    if everything:
        found = compare_labels(everything, get_calculator(study.model))
        rows.append(_row(study, against, "all", found))
        title = "Configurations that training never saw"
        study.write_figure("table4-parity", plot_labels(found, (against, study.title), title))
    for row in study.published.table("table4_rmsd_70_out_of_sample"):
        values = {column: float(row[column]) for column in QUANTITIES}
        rows.append({"model": f"{row['model']} (paper)", "against": "DFT", "framework": "70 others", **values})
    study.write_table("table4", rows)
    if rows:
        panels = {label: _values(rows, column) for column, label in QUANTITIES.items()}
        study.write_figure("table4", draw_bars(panels, log=True))


def _sources(study: Study) -> Mapping[str, Callable[[], list[Atoms]]]:
    """Return what reads labelled configurations, by framework."""
    if study.labels is None:
        return {name: partial(study.reference.test_labels, name) for name in study.labelled()}
    return {path.stem: partial(read_labelled, path) for path in sorted(study.labels.glob("*.extxyz"))}


def _row(study: Study, against: str, framework: str, found: LabelComparison) -> dict[str, Any]:
    return {
        "model": study.title,
        "against": against,
        "framework": framework,
        "configurations": found.structures,
        "rmsd_energy_meV_per_atom": _rmsd(found.energies_per_atom, 1e3),
        "rmsd_forces_eV_per_A": _rmsd(found.all_forces, 1.0),
        "rmsd_stress_meV_per_A3": _rmsd(found.stresses, 1e3),
    }


def _rmsd(parity: Parity | None, unit: float) -> float | None:
    deviation = None if parity is None else parity.deviation()
    return None if deviation is None else unit * deviation.rmsd


def _values(rows: list[dict[str, Any]], column: str) -> dict[tuple[str, str], float]:
    return {
        (f"{row['model']} against {row['against']}", row["framework"]): row[column]
        for row in rows
        if row[column] is not None
    }
