"""How far environments lie from those that `mini` was trained on; writes ``results/domain.csv``.

The package's frameworks, and molecules and crystals that nobody would take for a framework.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule

from mace_mof_calc import structures
from mace_mof_calc.domain.descriptors import compute_descriptors
from mace_mof_calc.domain.reference import find_reference, nearest_distances
from mace_mof_calc.models.loading import load

MOLECULES = {"water": "H2O", "methane": "CH4", "methanol": "CH3OH", "carbon dioxide": "CO2", "benzene": "C6H6"}


def probes() -> Iterator[tuple[str, Atoms]]:
    """Give each structure with its name."""
    for name in ("MOF-5", "UiO-66", "MOF-74", "MIL-53"):
        yield name, structures.load(name)
    for name, formula in MOLECULES.items():
        atoms = molecule(formula)
        atoms.center(vacuum=8.0)
        atoms.pbc = True
        yield name, atoms
    yield "diamond", bulk("C", "diamond", 3.567)
    yield "zincite", bulk("ZnO", "wurtzite", a=3.25, c=5.207, u=0.382)


def main() -> None:
    """Write the table."""
    model = load("mini")
    reference = find_reference(model)
    if reference is None:
        raise SystemExit(f"{model.path} has no record of its training set beside it: run training/mini/domain.py")
    target = Path(__file__).parent / "results" / "domain.csv"
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["structure", "element", "atoms", "outside", "least", "most"])
        for name, atoms in probes():
            descriptors = compute_descriptors(model, atoms)
            for symbol in dict.fromkeys(atoms.symbols):
                own = np.flatnonzero(atoms.symbols == symbol)
                if symbol not in reference.environments:
                    writer.writerow([name, symbol, len(own), len(own), "", ""])
                    continue
                ratios = nearest_distances(descriptors[own], reference.environments[symbol]) / reference.limits[symbol]
                extremes = (f"{ratios.min():.2g}", f"{ratios.max():.2g}")
                writer.writerow([name, symbol, len(own), int((ratios > 1).sum()), *extremes])


if __name__ == "__main__":
    main()
