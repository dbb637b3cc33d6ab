"""What fine-tuning on ZIF-8 did, as a table and a figure: ``python training/zif8/results.py FOLDER``.

Reads what the evaluations of both models have written into FOLDER, and writes ``table.csv`` and ``table.png``.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from matplotlib.figure import Figure

from phonopy_mlp.provenance import PROVENANCE_FILE, read_record

sys.path.append(str(Path(__file__).resolve().parents[1] / "mini"))
from crystals import FRAMEWORKS

BEFORE, AFTER = "mini", "mini-zif8"

SETS = {
    "zif-8": {"all": "ZIF-8 (learnt)"},
    "salem-2": {"all": "SALEM-2 (same net, never seen)"},
    "old": {"all": "all eight (known before)"} | {f"source {name}": f"{name} (known before)" for name in FRAMEWORKS},
}
"""Rows of ``errors.csv`` by evaluation, and what they are called."""

ERRORS = {
    "energy_rmse_meV_per_atom": "energy RMSE (meV/atom)",
    "energy_rmse_shifted_meV_per_atom": "energy RMSE, mean taken off (meV/atom)",
    "forces_rmse_meV_per_A": "forces RMSE (meV/A)",
    "forces_relative": "forces RMSE over forces rms",
    "stress_rmse_meV_per_A3": "stress RMSE (meV/A^3)",
}

CRYSTALS = ("zif-8", "salem-2")


def read_errors(folder: Path, evaluation: str) -> dict[str, dict[str, str]]:
    """Read the errors of both sets of frames, by group."""
    with (folder / evaluation / "errors.csv").open(encoding="utf-8") as file:
        return {row["group"]: row for row in csv.DictReader(file)}


def compare_errors(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield errors before and after, on each set of frames."""
    for evaluation, groups in SETS.items():
        before, after = (read_errors(folder / f"{model}-evaluated", evaluation) for model in (BEFORE, AFTER))
        for group, name in groups.items():
            for column, quantity in ERRORS.items():
                values = {"before": float(before[group][column]), "after": float(after[group][column])}
                ratio, frames = values["after"] / values["before"], int(after[group]["frames"])
                yield {"set": name, "quantity": quantity, **values, "after / before": ratio, "frames": frames}


def compare_phonons(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield imaginary modes at Gamma, lowest modes, and deviations from the reference, at each one's own minimum."""
    for crystal in CRYSTALS:
        (name,) = SETS[crystal].values()
        runs = {
            "before": folder / f"{BEFORE}-evaluated" / crystal / "model",
            "after": folder / f"{AFTER}-evaluated" / crystal / "model",
            "GFN1-xTB": folder / "reference" / crystal,
        }
        found = {run: read_step(path, "force_constants") for run, path in runs.items()}
        for key, quantity in (
            ("imaginary_commensurate_modes", "imaginary modes at Gamma"),
            ("lowest_commensurate_frequency", "lowest mode at Gamma (THz)"),
        ):
            yield {"set": name, "quantity": quantity, **{run: modes[key] for run, modes in found.items()}}
        # Of relaxations that begin at the minimum of the reference.
        changes = {run: 100 * read_step(runs[run], "relax")["volume_change"] for run in ("before", "after")}
        yield {"set": name, "quantity": "volume of the minimum, against GFN1-xTB's (%)", **changes}
        deviations = {run: read_deviations(runs[run].parent) for run in ("before", "after")}
        for part in ("full_range", "below_20_THz"):
            quantity = f"RMSD of modes, {part.replace('_', ' ')} (THz)"
            known = {run: each[part]["rmsd"] for run, each in deviations.items() if each is not None}
            yield {"set": name, "quantity": quantity, **known}


def read_step(run: Path, name: str) -> dict[str, float]:
    """Read what a run's record says of one of its steps."""
    step: dict[str, float] = read_record(run / PROVENANCE_FILE)["steps"][name]
    return step


def read_deviations(evaluation: Path) -> dict[str, dict[str, float]] | None:
    """Read how far the frequencies of a model are off, modes paired by their eigenvectors; None where they are not."""
    if not (evaluation / "compare.yaml").is_file():
        return None
    record = yaml.safe_load((evaluation / "compare.yaml").read_text(encoding="utf-8"))
    deviations: dict[str, dict[str, float]] = record["frequencies"]["by_overlap"]
    return deviations


def draw(rows: list[dict[str, Any]]) -> Figure:
    """Draw relative errors of forces, and deviations of modes, before and after."""
    figure = Figure(figsize=(10, 6), layout="constrained")
    panels = {
        "forces RMSE over forces rms": "error of forces, relative to their rms",
        "RMSD of modes, full range (THz)": "RMSD of modes (THz)",
    }
    for axes, (quantity, label) in zip(figure.subplots(1, 2, width_ratios=(2, 1)), panels.items(), strict=True):
        own = [row for row in rows if row["quantity"] == quantity]
        for k, (column, colour) in enumerate((("before", "0.7"), ("after", "C0"))):
            lengths = [row.get(column, 0.0) for row in own]
            bars = axes.barh([i + 0.4 * k for i in range(len(own))], lengths, 0.38, color=colour)
            labels = [f"{row[column]:.3g}" if column in row else "not paired" for row in own]
            axes.bar_label(bars, labels, padding=2, fontsize="small")
            bars.set_label(column)
        axes.set_yticks([i + 0.2 for i in range(len(own))], [row["set"].replace(" (", "\n(") for row in own])
        axes.set(xlabel=label, xscale="linear" if "modes" in quantity else "log")
        axes.margins(x=0.15)
        axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False)
    return figure


def main() -> None:
    """Write both."""
    folder = Path(sys.argv[1])
    rows = [*compare_errors(folder), *compare_phonons(folder)]
    with (folder / "table.csv").open("w", encoding="utf-8", newline="") as file:
        columns = ["set", "quantity", "before", "after", "after / before", "GFN1-xTB", "frames"]
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    draw(rows).savefig(folder / "table.png", dpi=150)


if __name__ == "__main__":
    main()
