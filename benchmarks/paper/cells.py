"""Table 2 and Fig. 3: cells, space groups, and the displacements that symmetry leaves."""

from __future__ import annotations

from typing import Any

from ase import Atoms

from paper.bars import draw_bars
from paper.gfn1 import NAME
from paper.pairs import Pair, find_pairs
from paper.study import Study
from phonopy_mlp.compare.structures import compare_structures, count_displacements
from phonopy_mlp.symmetry import LOOSE, TIGHT, find_space_group

CELL = ("a", "b", "c", "alpha", "beta", "gamma")


def run(study: Study) -> None:
    """Write ``table2.csv``, ``fig3.csv`` and ``fig3.png``."""
    rows, deviations = [], []
    for name in study.frameworks:
        with study.trying(name, "cells"):
            rows.append(describe(name, study.title, study.relaxed(name)))
        if study.reference.knows(name):
            rows.append(describe(name, NAME, study.reference.minimum(name)))
        for method, atoms in study.published.structures(name).items():
            rows.append(describe(name, f"{method} (paper's structure)", atoms))
        deviations += [_deviation(name, pair) for pair in find_pairs(study, name)]
    for row in study.published.table("table2_cells"):
        rows.append(
            {
                "framework": row["mof"],
                "method": f"{row['method']} (paper)",
                **{key: float(row[key]) for key in CELL},
                "space_group_1e-2": row["space_group"],
                "displacements_1e-5": int(row["n_disp"]),
            }
        )
    study.write_table("table2", rows)
    study.write_table("fig3", deviations)
    if deviations:
        values = {
            (f"{each['method']} against {each['against'].removesuffix(' (paper)')}", each["framework"]): each[
                "mean_length_deviation_percent"
            ]
            for each in deviations
        }
        study.write_figure("fig3", draw_bars({"Deviation of the mean cell length (%)": values}))


def describe(framework: str, method: str, atoms: Atoms) -> dict[str, Any]:
    """Return a row of Table 2."""
    return {
        "framework": framework,
        "method": method,
        **dict(zip(CELL, map(float, atoms.cell.cellpar()), strict=True)),
        "volume": atoms.get_volume(),
        "space_group_1e-5": find_space_group(atoms, TIGHT).symbol,
        "space_group_1e-2": find_space_group(atoms, LOOSE).symbol,
        "displacements_1e-5": count_displacements(atoms, TIGHT),
        "displacements_1e-2": count_displacements(atoms, LOOSE),
    }


def _deviation(framework: str, pair: Pair) -> dict[str, Any]:
    found = compare_structures(pair.reference, pair.atoms)
    return {
        "framework": framework,
        "method": pair.method,
        "against": pair.against,
        "mean_length_deviation_percent": found.mean_length_deviation,
        "volume_deviation_percent": found.volume_deviation,
    }
