"""Fig. 6: bulk moduli."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from paper.bars import draw_bars
from paper.study import Study

PUBLISHED = {
    "fig6a_bulk_modulus_DFT": {
        "dft (GPa)": "DFT",
        "MACE-MP-MOF0": "MACE-MP-MOF0",
        "MACE-MP-MOF0-v2": "MACE-MP-MOF0-v2",
    },
    "fig6b_bulk_modulus_exp_DFT": {
        "DFT (GPa)": "DFT",
        "Experiment (GPa)": "experiment",
        "MACE-MP-MOF0 (GPa)": "MACE-MP-MOF0",
        "MACE-MP-MOF0-v2 (GPa)": "MACE-MP-MOF0-v2",
    },
}
"""Methods by the columns of the two halves of the figure, which have some frameworks in common."""


def run(study: Study) -> None:
    """Write ``fig6.csv`` and ``fig6.png``: ours, and the published values of the same frameworks beside."""
    rows: list[dict[str, Any]] = []
    for name in study.frameworks:
        with study.trying(name, "moduli"):
            found = yaml.safe_load((compute(study, name) / "eos.yaml").read_text(encoding="utf-8"))
            modulus, error = found["bulk_modulus"]
            rows.append(
                {"framework": name, "method": study.title, "bulk_modulus_GPa": modulus, "uncertainty_GPa": error}
            )
    rows += _published_rows(study)
    study.write_table("fig6", rows)
    values = {
        (row["method"], row["framework"]): row["bulk_modulus_GPa"]
        for row in rows
        if row["framework"] in study.frameworks
    }
    if values:
        study.write_figure("fig6", draw_bars({"Bulk modulus (GPa)": values}))


def compute(study: Study, name: str) -> Path:
    """Return the folder of an equation of state."""
    return study.run(name, "eos", "--relax")


def _published_rows(study: Study) -> list[dict[str, Any]]:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for table, columns in PUBLISHED.items():
        for row in study.published.table(table):
            for column, method in columns.items():
                one = {"framework": row["mof"], "method": f"{method} (paper)", "bulk_modulus_GPa": float(row[column])}
                source = {"source_of_dft": row.get("ref dft", "")} if method == "DFT" else {}
                found.setdefault((row["mof"], method), one | source)
    return list(found.values())
