"""The audit trail of a stabilisation as a table.

    python examples/trail_table.py stabilised.yaml trail.csv

takes what `examples/stabilise_mil53.py` writes, or the record of ``phonopy-mlp stabilise``
(``phonopy_mlp-stabilise.yaml``).
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

COLUMNS = ("method", "along", "space group before", "after", "atoms", "meV per formula unit", "outcome")


def rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return a row for each step, and one for what was found in the end."""
    left = ", ".join(
        f"{len(result[f'unstable_{name}'])} {name.replace('_', ' ')}" for name in ("modes", "long_waves", "strains")
    )
    lowest = f"lowest mode {result['lowest_frequency']:.3f} THz"
    end = f"stable, {lowest}" if result["stable"] else f"not stable, {lowest}; {left} are left"
    return [*map(_row, result["trail"]), ("check", "", "", "", "", "", end)]


def _row(step: Mapping[str, Any]) -> tuple[str, ...]:
    along = ""
    if step["qpoint"] is not None:
        along = f"{step['frequency']:.3f} THz at ({_vector(step['qpoint'])})"
    elif step["direction"] is not None:
        along = f"long wave in ({_vector(step['direction'])})"
    elif step["strain"] is not None:
        along = "strain"
    before, after = (_symbol(step[f"space_groups_{when}"]) for when in ("before", "after"))
    change = step["energy_change_per_formula_unit"]
    outcome = "accepted" if step["accepted"] else f"rejected: {step['reason']}"
    atoms = step["atoms"][1] or step["atoms"][0]
    return (step["method"], along, before, after, str(atoms), "" if change is None else f"{1e3 * change:+.3f}", outcome)


def _symbol(groups: list[str]) -> str:
    """Return the symbol at the looser tolerance."""
    return groups[-1].split()[0] if groups else ""


def _vector(components: list[float]) -> str:
    return " ".join(f"{round(component, 3) + 0.0:g}" for component in components)


def main() -> None:
    """Write the table."""
    source, target = map(Path, sys.argv[1:3])
    record = yaml.safe_load(source.read_text(encoding="utf-8"))
    result = record["phonopy_mlp"]["steps"]["stabilise"] if "phonopy_mlp" in record else record
    with target.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows(result)])


if __name__ == "__main__":
    main()
