"""Fig. 6: bulk moduli."""

from __future__ import annotations

from typing import Any

import yaml
from matplotlib.figure import Figure

from paper.study import Study


def run(study: Study) -> None:
    """Write ``fig6.csv`` and ``fig6.png``: ours, and the published values of the same frameworks beside."""
    rows: list[dict[str, Any]] = []
    for name in study.frameworks:
        with study.trying(name, "moduli"):
            folder = study.run(name, "eos", "--relax")
            found = yaml.safe_load((folder / "eos.yaml").read_text(encoding="utf-8"))
            modulus, error = found["bulk_modulus"]
            rows.append(
                {"framework": name, "method": study.title, "bulk_modulus_GPa": modulus, "uncertainty_GPa": error}
            )
    for table, columns in (
        ("fig6a_bulk_modulus_DFT", {"dft (GPa)": "DFT"}),
        (
            "fig6b_bulk_modulus_exp_DFT",
            {"DFT (GPa)": "DFT", "Experiment (GPa)": "experiment", "MACE-MP-MOF0 (GPa)": "MACE-MP-MOF0"},
        ),
    ):
        for row in study.published.table(table):
            for column, method in columns.items():
                rows.append(
                    {
                        "framework": row["mof"],
                        "method": f"{method} (paper)",
                        "bulk_modulus_GPa": float(row[column]),
                        "uncertainty_GPa": "",
                    }
                )
    study.write_table("fig6", rows)
    study.write_figure("fig6", _draw(rows, list(study.frameworks)))


def _draw(rows: list[dict[str, Any]], frameworks: Any) -> Figure:
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    methods = list(dict.fromkeys(row["method"] for row in rows))
    width = 0.8 / len(methods)
    for k, method in enumerate(methods):
        found = {row["framework"]: row["bulk_modulus_GPa"] for row in rows if row["method"] == method}
        places = [n + (k - (len(methods) - 1) / 2) * width for n, name in enumerate(frameworks) if name in found]
        axes.bar(places, [found[name] for name in frameworks if name in found], width, label=method)
    axes.set_xticks(range(len(frameworks)), frameworks)
    axes.set_ylabel("Bulk modulus (GPa)")
    axes.legend(frameon=False)
    return figure
