"""Table 2 and Fig. 3: cells, space groups, and the displacements that symmetry leaves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ase import Atoms
from matplotlib.figure import Figure

from paper.gfn1 import NAME
from paper.study import Study
from phonopy_mlp.compare import compare_structures


def run(study: Study) -> None:
    """Write ``table2.csv``, ``fig3.csv`` and ``fig3.png``."""
    rows, deviations = [], []
    for name in study.frameworks:
        with study.trying(name, "cells"):
            own = study.relaxed(name)
            rows += list(_rows(name, {study.title: own}))
            if study.reference.knows(name):
                reference = study.reference.minimum(name)
                rows += list(_rows(name, {NAME: reference}))
                deviations.append(_deviation(name, study.title, NAME, reference, own))
        published = study.published.structures(name)
        rows += list(_rows(name, {f"{method} (paper's structure)": atoms for method, atoms in published.items()}))
        for method, atoms in published.items():
            if method != "DFT":
                deviations.append(_deviation(name, f"{method} (paper)", "DFT (paper)", published["DFT"], atoms))
    for row in study.published.table("table2_cells"):
        rows.append(
            {
                "framework": row["mof"],
                "method": f"{row['method']} (paper)",
                **{key: float(row[key]) for key in ("a", "b", "c", "alpha", "beta", "gamma")},
                "space_group_1e-2": row["space_group"],
                "displacements_1e-5": int(row["n_disp"]),
            }
        )
    study.write_table("table2", rows)
    study.write_table("fig3", deviations)
    if deviations:
        study.write_figure("fig3", _draw(deviations))


def _deviation(framework: str, method: str, against: str, reference: Atoms, atoms: Atoms) -> dict[str, Any]:
    found = compare_structures(reference, atoms)
    return {
        "framework": framework,
        "method": method,
        "against": against,
        "mean_length_deviation_percent": found.mean_length_deviation,
        "volume_deviation_percent": found.volume_deviation,
    }


def _rows(framework: str, structures: dict[str, Atoms]) -> Iterator[dict[str, Any]]:
    for method, atoms in structures.items():
        found = compare_structures(atoms, atoms)
        tight, loose = found.symmetry_a
        yield {
            "framework": framework,
            "method": method,
            **dict(zip(("a", "b", "c", "alpha", "beta", "gamma"), map(float, found.cell_a), strict=True)),
            "volume": atoms.get_volume(),
            "space_group_1e-5": tight.group.symbol,
            "space_group_1e-2": loose.group.symbol,
            "displacements_1e-5": tight.displacements,
            "displacements_1e-2": loose.displacements,
        }


def _draw(deviations: list[dict[str, Any]]) -> Figure:
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    frameworks = list(dict.fromkeys(each["framework"] for each in deviations))
    methods = list(dict.fromkeys((each["method"], each["against"]) for each in deviations))
    width = 0.8 / len(methods)
    for k, (method, against) in enumerate(methods):
        found = [each for each in deviations if (each["method"], each["against"]) == (method, against)]
        places = [frameworks.index(each["framework"]) + (k - (len(methods) - 1) / 2) * width for each in found]
        label = f"{method} against {against.removesuffix(' (paper)')}"
        axes.bar(places, [each["mean_length_deviation_percent"] for each in found], width, label=label)
    axes.axhline(0, color="0.4", linewidth=0.6)
    axes.set_xticks(range(len(frameworks)), frameworks)
    axes.set_ylabel("Deviation of the mean cell length (%)")
    axes.legend(frameon=False, fontsize="small")
    return figure
