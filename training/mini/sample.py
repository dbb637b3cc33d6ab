"""Which configurations to label: drawn from the reference's own normal modes, strains, and random displacements.

At equal mode energies the force along a mode grows with its frequency, so soft modes drown in the error of the stiff
ones. Therefore part of the set has equal forces (amplitudes like 1/omega^2) and part moves the soft modes alone.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read
from crystals import Framework
from hessian import Modes
from labels import RepeatedGFN1, atomic_write, labelled
from numpy.typing import NDArray

#: kind -> number of training configurations per framework
TRAIN = {"thermal": 25, "equal-force": 20, "soft": 24, "strain": 28, "rattle": 12}
#: kind -> number of test configurations per framework
TEST = {"thermal": 10, "equal-force": 5, "strain": 5}
SOFT_LIMIT = 6.0  # THz


def _scaled(modes: Modes, amplitudes: NDArray[np.float64], rms: float) -> NDArray[np.float64]:
    """Displacement with a root mean square of `rms` (A) over all Cartesian components."""
    u = modes.displacement(amplitudes)
    return u * (rms / np.sqrt(np.mean(u**2)))


def random_strain(rng: np.random.Generator, index: int) -> NDArray[np.float64]:
    """Symmetric strain, shape ``(3, 3)``: isotropic, anisotropic, shear or general in turn, a few per cent."""
    strain = np.zeros((3, 3))
    kind = index % 4
    if kind == 0:
        strain += np.eye(3) * rng.uniform(-0.03, 0.03)
    if kind in (1, 3):
        strain += np.diag(rng.uniform(-0.025, 0.025, 3))
    if kind in (2, 3):
        shear = rng.uniform(-0.02, 0.02, 3)
        strain += np.array([[0, shear[0], shear[1]], [shear[0], 0, shear[2]], [shear[1], shear[2], 0]])
    return strain


def draw(modes: Modes, kind: str, index: int, seed: int) -> Atoms:
    """Draw one configuration.

    Parameters
    ----------
    modes : Modes
        Harmonic expansion of the labelled cell.
    kind : str
        ``thermal`` (classical thermal displacement, scaled to 0.02 to 0.1 A; in test sets 0.03 A), ``equal-force``,
        ``soft`` (modes below 6 THz, even and odd indices are mirror images), ``strain`` or ``rattle``.
    index : int
        Number within the kind.
    seed : int
        Seed; different for training and test.
    """
    mirror = index // 2 if kind == "soft" else index
    rng = np.random.default_rng([seed, zlib.crc32(kind.encode()), mirror])
    omega = np.maximum(np.abs(modes.frequencies), 0.5)  # THz
    normal = rng.standard_normal(len(omega))
    atoms = modes.atoms.copy()
    if kind == "thermal":
        rms = 0.03 if seed == seeds()["test"] else (0.02, 0.03, 0.03, 0.05, 0.1)[index % 5]
        atoms.positions += _scaled(modes, normal / omega, rms)
    elif kind == "equal-force":
        rms = (0.02, 0.05, 0.1)[index % 3]
        atoms.positions += _scaled(modes, normal / np.maximum(omega, 1.0) ** 2, rms)
    elif kind == "soft":
        soft = omega < SOFT_LIMIT
        if mirror % 2:  # few modes
            soft &= rng.random(len(omega)) < 0.15
        normal = np.where(soft, normal, 0.0)
        sign = 1.0 if index % 2 == 0 else -1.0
        atoms.positions += sign * _scaled(modes, normal / omega, (0.03, 0.06, 0.12, 0.2)[mirror % 4])
    elif kind == "strain":
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + random_strain(rng, index)), scale_atoms=True)
        atoms.positions += _scaled(modes, normal / omega, 0.02 if index % 8 else 1e-6)
    elif kind == "rattle":
        atoms.positions += rng.normal(scale=0.03 if index % 2 else 0.1, size=atoms.positions.shape)
    else:
        raise ValueError(f"unknown kind {kind!r}")
    return atoms


def seeds() -> dict[str, int]:
    """Seeds of the training and the test sets."""
    return {"train": 1, "test": 2}


def label_framework(framework: Framework, modes: Modes, work: Path) -> None:
    """Label all configurations of a framework with GFN1-xTB, ``labels/NAME/{train,test}-KIND-INDEX.extxyz``."""
    calc = RepeatedGFN1()
    for purpose, counts in (("train", TRAIN), ("test", TEST)):
        for kind, count in counts.items():
            for index in range(count):
                path = work / "labels" / framework.name / f"{purpose}-{kind}-{index:04d}.extxyz"
                if not path.exists():
                    atoms = draw(modes, kind, index, seeds()[purpose])
                    atomic_write(path, labelled(atoms, calc, kind=kind, name=framework.name))


def load(work: Path, purpose: str, names: list[str]) -> list[Atoms]:
    """Read all labelled configurations of a purpose (``train`` or ``test``)."""
    return [read(path) for name in names for path in sorted((work / "labels" / name).glob(f"{purpose}-*.extxyz"))]
