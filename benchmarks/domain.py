"""How far environments lie from those that `mini` was trained on; writes ``results/domain.csv``.

The package's frameworks, and molecules and crystals that nobody would take for a framework.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule
from rows import RESULTS, write_rows

from mace_mof_calc import structures
from mace_mof_calc.domain.descriptors import compute_descriptors
from mace_mof_calc.domain.reference import find_reference, nearest_distances
from mace_mof_calc.models.loading import load

MOLECULES = {"water": "H2O", "methane": "CH4", "methanol": "CH3OH", "carbon dioxide": "CO2", "benzene": "C6H6"}


def probes() -> Iterator[tuple[str, Atoms]]:
    """Give each structure with its name."""
    for name in structures.names():
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
    rows: list[dict[str, Any]] = []
    for name, atoms in probes():
        descriptors = compute_descriptors(model, atoms)
        for symbol in dict.fromkeys(atoms.symbols):
            own = np.flatnonzero(atoms.symbols == symbol)
            rows.append({"structure": name, "element": symbol, "atoms": len(own), "outside": len(own)})
            if symbol in reference.environments:
                ratios = nearest_distances(descriptors[own], reference.environments[symbol]) / reference.limits[symbol]
                rows[-1] |= {"outside": int((ratios > 1).sum()), "least": ratios.min(), "most": ratios.max()}
    write_rows(RESULTS / "domain.csv", rows, digits=2)


if __name__ == "__main__":
    main()
