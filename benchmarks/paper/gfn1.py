"""GFN1-xTB as the reference: minima, force constants and labels that the embedded model was made with.

``training/mini`` computes them with tblite (``build.sh --relabel``) and keeps them in ``labels.tar.xz``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from phonopy import Phonopy

from mace_mof_calc.frames import get_labels, read_frames
from mace_mof_calc.training.hessians import get_hessian
from phonopy_mlp.force_constants import make_phonopy
from phonopy_mlp.structures import from_phonopy

_TRAINING = Path(__file__).resolve().parents[2] / "training" / "mini"

NAME = "GFN1-xTB"

_TITLES = {"phonons": "thermal", "equal": "equal-force"}


@dataclass(frozen=True)
class Reference:
    """Labels of GFN1-xTB, unpacked into a work folder."""

    work: Path

    def __post_init__(self) -> None:
        """Unpack the labels, unless they are there."""
        sys.path.insert(0, str(_TRAINING))
        from archive import LABELS

        LABELS.restore(self.work)

    def knows(self, framework: str) -> bool:
        """Whether the framework was labelled; of others there is the model alone."""
        return any(atoms.info["source"] == framework for atoms in self._read("minima"))

    def minimum(self, framework: str) -> Atoms:
        """Return the primitive cell at GFN1-xTB's minimum."""
        (found,) = self._select("minima", framework)
        return Atoms(found.numbers, positions=found.positions, cell=found.cell, pbc=True)

    def phonons(self, framework: str) -> Phonopy:
        """Return force constants by central differences of 0.01 A, in the cell that was labelled."""
        (cell,) = self._select("hessians", framework)
        minimum = self.minimum(framework)
        repeat = np.round(cell.cell.array @ np.linalg.inv(minimum.cell.array)).astype(int)
        phonon = make_phonopy(minimum, repeat.T, primitive_matrix=np.eye(3), symprec=1e-4)
        # phonopy chooses images and their order; the cell has its own.
        apart = (from_phonopy(phonon.supercell).positions[:, None] - cell.positions) @ np.linalg.inv(cell.cell.array)
        order = np.linalg.norm(apart - np.round(apart), axis=2).argmin(axis=1)
        hessian, size = get_hessian(cell), len(cell)
        blocks = (0.5 * (hessian + hessian.T)).reshape(size, 3, size, 3).transpose(0, 2, 1, 3)[np.ix_(order, order)]
        phonon.force_constants = np.ascontiguousarray(blocks[phonon.primitive.p2s_map])
        return phonon

    def test_labels(self, framework: str) -> list[Atoms]:
        """Return configurations that training never saw, with energies, forces and stresses."""
        frames = []
        for atoms in self._select("unseen", framework):
            labels = get_labels(atoms)
            frame = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
            frame.info |= {"name": framework, "kind": _TITLES.get(atoms.info["kind"], atoms.info["kind"])}
            frame.calc = SinglePointCalculator(frame, energy=labels.energy, forces=labels.forces, stress=labels.stress)
            frames.append(frame)
        return frames

    def _read(self, name: str) -> list[Atoms]:
        return read_frames(self.work / f"{name}.extxyz")

    def _select(self, name: str, framework: str) -> list[Atoms]:
        return [atoms for atoms in self._read(name) if atoms.info["source"] == framework]
