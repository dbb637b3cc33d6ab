"""GFN1-xTB as the reference: minima, force constants and labels that the embedded model was made with.

``training/mini`` computes them with tblite (``build.py --relabel``) and keeps them in ``labels.tar.xz``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read
from phonopy import Phonopy

_TRAINING = Path(__file__).resolve().parents[2] / "training" / "mini"

NAME = "GFN1-xTB"


@dataclass(frozen=True)
class Reference:
    """Labels of GFN1-xTB, unpacked into a work folder."""

    work: Path

    def __post_init__(self) -> None:
        """Unpack the labels, unless they are there."""
        sys.path.insert(0, str(_TRAINING))
        from archive import restore

        self.work.mkdir(parents=True, exist_ok=True)
        restore(self.work)

    def knows(self, framework: str) -> bool:
        """Whether the framework was labelled; of others there is the model alone."""
        from crystals import FRAMEWORKS

        return framework in FRAMEWORKS

    def minimum(self, framework: str) -> Atoms:
        """Return the primitive cell at GFN1-xTB's minimum."""
        found: Atoms = read(self.work / "minima" / f"{framework}.extxyz")
        return found

    def phonons(self, framework: str) -> Phonopy:
        """Return force constants by central differences of 0.01 A, in the cell that was labelled."""
        from crystals import FRAMEWORKS
        from hessian import reference_modes, setup

        modes = reference_modes(FRAMEWORKS[framework], self.work)
        phonon = setup(self.minimum(framework), FRAMEWORKS[framework].repeat)
        size = len(phonon.supercell)
        full = modes.hessian.reshape(size, 3, size, 3).transpose(0, 2, 1, 3)
        phonon.force_constants = np.ascontiguousarray(full[phonon.primitive.p2s_map])
        return phonon

    def test_labels(self, framework: str) -> list[Atoms]:
        """Return configurations that training never saw, with energies, forces and stresses."""
        from sample import load

        frames: list[Atoms] = load(self.work, "test", [framework])
        return frames
