"""Relaxes every published CIF whose elements `mini` knows; appends to ``results/relaxations.csv``.

    python benchmarks/relaxations.py [reference folder] [results.csv]

Cell and positions to 1e-6 eV/A. Most of these crystals have chemistry that the model never saw, so each must either
converge or end with an error that says why; what is outside of the model's domain is told beside it, of the crystal as
published and as relaxed. Crystals that are in the table already are not relaxed again.
"""

from __future__ import annotations

import csv
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from pathlib import Path

from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from phonopy_mlp.errors import PhonopyMlpError, StructureError
from phonopy_mlp.protocols import SupportsDomain
from phonopy_mlp.registry import describe, get_calculator
from phonopy_mlp.relax import relax
from phonopy_mlp.structures import check_elements, read_structure
from phonopy_mlp.symmetry import LOOSE, find_space_group

RESULTS = Path(__file__).parent / "results" / "relaxations.csv"

STEPS = 2000
"""Limit of a relaxation, `relax`'s own."""

COLUMNS = (
    "name",
    "formula",
    "atoms",
    "space group before (0.01 A)",
    "space group after (0.01 A)",
    "steps",
    "processor time (s)",
    "residual force (eV/A)",
    "residual stress (eV/A^3)",
    "volume change (%)",
    "outside of the domain before",
    "outside of the domain after",
    "outcome",
    "warnings",
)


def relax_one(name: str, atoms: Atoms, calculator: BaseCalculator) -> dict[str, object]:
    """Return a row of the table, without the warnings."""
    row: dict[str, object] = {
        "name": name,
        "formula": atoms.get_chemical_formula(),
        "atoms": len(atoms),
        "space group before (0.01 A)": find_space_group(atoms, LOOSE).symbol,
        "outside of the domain before": outside(atoms, calculator),
    }
    counted, started = [0], time.process_time()
    try:
        found = relax(atoms, calculator, max_steps=STEPS, on_step=lambda step, _: counted.append(step))
    except PhonopyMlpError as error:
        outcome = str(error).splitlines()[0]
    else:
        outcome = "converged"
        row |= {
            "space group after (0.01 A)": find_space_group(found.atoms, LOOSE).symbol,
            "residual force (eV/A)": f"{found.residual_force:.1e}",
            "residual stress (eV/A^3)": f"{found.residual_stress:.1e}",
            "volume change (%)": f"{100 * found.volume_change:.2f}",
            "outside of the domain after": outside(found.atoms, calculator),
        }
    seconds = time.process_time() - started
    return row | {"steps": max(counted), "processor time (s)": f"{seconds:.1f}", "outcome": outcome}


def outside(atoms: Atoms, calculator: BaseCalculator) -> str:
    """Return what a calculator finds outside of its domain: how many atoms of which elements, for each kind."""
    if not isinstance(calculator, SupportsDomain):
        return "not known"
    found: dict[str, set[int]] = {}
    for finding in calculator.check_domain(atoms):
        found.setdefault(finding["kind"], set()).update(finding["atoms"])
    counts = {kind: Counter(atoms.symbols[k] for k in sorted(own)) for kind, own in found.items()}
    return "; ".join(f"{kind}: {', '.join(f'{n} {x}' for x, n in count.items())}" for kind, count in counts.items())


def main() -> None:
    """Relax what is not in the table yet."""
    reference = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/reference")
    table = Path(sys.argv[2]) if len(sys.argv) > 2 else RESULTS
    calculator = get_calculator("mini")
    done = set()
    if table.is_file():
        with table.open(newline="") as file:
            done = {row["name"] for row in csv.DictReader(file)}
    else:
        with table.open("w", newline="") as file:
            csv.DictWriter(file, COLUMNS, lineterminator="\n").writeheader()
    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(reference / "cifs" / "cifs.zip").extractall(folder)
        for path in sorted(Path(folder).rglob("*.cif")):
            if path.stem in done:
                continue
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                try:
                    atoms = read_structure(path)
                    check_elements(atoms, describe(calculator))
                except StructureError:
                    continue
                row = relax_one(path.stem, atoms, calculator)
            row["warnings"] = "; ".join(sorted({str(each.message).replace(str(path), path.name) for each in caught}))
            with table.open("a", newline="") as file:
                csv.DictWriter(file, COLUMNS, lineterminator="\n").writerow(row)
            print(*row.values(), sep="  ", flush=True)


if __name__ == "__main__":
    main()
