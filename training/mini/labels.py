"""Reference data: energies, forces and stresses of sampled configurations, with GFN1-xTB (tblite).

Everything is written below one work folder, one small file per finished piece, each through a temporary file and a
rename, so that the program may be stopped at any time and continues where it was.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from crystals import ELEMENTS

ACCURACY = 0.01  # of tblite; forces carry noise near 1e-6 eV/A


def gfn1(**options: Any) -> Calculator:
    """Return GFN1-xTB of tblite, which training from finished labels does not need."""
    from tblite.ase import TBLite

    return TBLite(method="GFN1-xTB", verbosity=0, **options)


class RepeatedGFN1(Calculator):
    """GFN1-xTB on a repeated cell, folded back on the cell asked for.

    Parameters
    ----------
    repeat : tuple of int
        Repetition along the three axes, since tblite samples the Gamma point alone.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress"]

    def __init__(self, repeat: tuple[int, int, int] = (1, 1, 1), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.repeat = repeat
        self.tblite = gfn1(accuracy=ACCURACY, max_iterations=500)

    def calculate(self, atoms: Atoms | None = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        """Compute energy (eV), forces (eV/A, shape ``(natom, 3)``) and stress (eV/A^3, Voigt) of one cell."""
        super().calculate(atoms, properties, system_changes)
        big = Atoms(self.atoms.numbers, positions=self.atoms.positions, cell=self.atoms.cell, pbc=True) * self.repeat
        big.calc = self.tblite
        copies = int(np.prod(self.repeat))
        forces = big.get_forces().reshape(copies, -1, 3)
        self.results = {
            "energy": big.get_potential_energy() / copies,
            "forces": forces.mean(axis=0),
            "stress": big.get_stress(),
        }


def atomic_write(path: Path, frames: Atoms | list[Atoms]) -> None:
    """Write frames as extxyz through a temporary file and a rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    write(temporary, frames, format="extxyz")
    temporary.replace(path)


def labelled(atoms: Atoms, calc: Calculator, **info: Any) -> Atoms:
    """Compute a configuration and return a copy that carries the results (and `info`)."""
    out = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
    work = out.copy()
    work.calc = calc
    forces = work.get_forces()
    out.calc = SinglePointCalculator(out, energy=work.get_potential_energy(), forces=forces, stress=work.get_stress())
    out.info.update(info)
    return out


def isolated_energies(work: Path) -> dict[int, float]:
    """GFN1-xTB energies of the free atoms.

    Returns
    -------
    dict of int to float
        Atomic number -> energy in eV.
    """
    target = work / "minima" / "atoms.extxyz"
    if not target.exists():
        frames = []
        for z in ELEMENTS:
            atom = Atoms(numbers=[z], positions=[[0.0, 0.0, 0.0]])
            atom.calc = gfn1()
            energy = atom.get_potential_energy()
            atom.calc = SinglePointCalculator(atom, energy=energy)
            frames.append(atom)
        atomic_write(target, frames)
    return {int(a.numbers[0]): float(a.get_potential_energy()) for a in read(target, ":")}
