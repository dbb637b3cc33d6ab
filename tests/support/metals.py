"""Labelled frames of two-atom crystals, which train in seconds."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from mace_mof_calc.frames import Labels, attach_labels


def label(atoms: Atoms, calculator=None) -> Atoms:
    """Return a structure with the labels of a calculator, ASE's effective medium theory by default."""
    own = atoms.copy()
    own.calc = EMT() if calculator is None else calculator
    stress = own.get_stress() if own.pbc.all() else None
    return attach_labels(atoms, Labels(own.get_potential_energy(), own.get_forces(), stress))


def make_metals(symbols: str, count: int, seed: int, a: float = 2.95) -> list[Atoms]:
    """Make rattled and strained crystals of two atoms in the structure of CsCl, labelled."""
    random = np.random.default_rng(seed)
    frames = []
    for k in range(count):
        atoms = bulk("NaCl", "cesiumchloride", a=a)
        atoms.symbols[:] = symbols
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + random.normal(scale=0.02, size=(3, 3))), scale_atoms=True)
        atoms.positions += random.normal(scale=0.08, size=(2, 3))
        frames.append(label(atoms))
        frames[-1].info |= {"source": symbols, "kind": ("rattle", "strain")[k % 2], "name": f"{symbols}-{seed}-{k}"}
    return frames


def make_free_atom(symbol: str, energy: float) -> Atoms:
    """Make a free atom with an energy."""
    atoms = attach_labels(Atoms(symbol, pbc=False), Labels(energy, np.zeros((1, 3)), None))
    atoms.info["name"] = f"free {symbol}"
    return atoms
