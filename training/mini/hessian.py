"""Hessians of the labelled cells by central differences, and their normal modes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_masses
from ase.io import read
from crystals import FRAMEWORKS, Framework
from labels import RepeatedGFN1, atomic_write, labelled
from numpy.typing import NDArray
from phonopy import Phonopy
from phonopy.physical_units import get_physical_units

from phonopy_mlp.imaginary import translations_and_rest
from phonopy_mlp.structures import from_phonopy, to_phonopy

DISPLACEMENT = 0.01  # A
#: sqrt(eV / (A^2 amu)) in THz
TO_THZ = float(get_physical_units().DefaultToTHz)


@dataclass(frozen=True)
class Modes:
    """Harmonic expansion of one labelled cell around its minimum.

    Attributes
    ----------
    atoms : Atoms
        The labelled cell at the minimum.
    hessian : ndarray, shape=(3 natom, 3 natom)
        Second derivatives of the energy in eV/A^2, translations projected out.
    frequencies : ndarray, shape=(3 natom - 3,)
        Frequencies in THz without the three translations, ascending; negative means imaginary.
    vectors : ndarray, shape=(3 natom, 3 natom - 3)
        Mass-weighted orthonormal eigenvectors in the columns.
    """

    atoms: Atoms
    hessian: NDArray[np.float64]
    frequencies: NDArray[np.float64]
    vectors: NDArray[np.float64]

    def displacement(self, amplitudes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Cartesian displacement (A, shape ``(natom, 3)``) of mass-weighted `amplitudes` (A sqrt(amu))."""
        u = (self.vectors @ amplitudes).reshape(-1, 3)
        return u / np.sqrt(self.atoms.get_masses())[:, None]


def diagonalise(atoms: Atoms, hessian: NDArray[np.float64]) -> Modes:
    """Compute the normal modes of a Hessian (eV/A^2), with the translations projected out exactly."""
    masses = atomic_masses[atoms.numbers]
    root = np.sqrt(np.repeat(masses, 3))
    _, rest = translations_and_rest(masses)
    inside = rest.T @ (0.5 * (hessian + hessian.T) / np.outer(root, root)) @ rest
    values, vectors = np.linalg.eigh(0.5 * (inside + inside.T))
    frequencies = np.sign(values) * np.sqrt(np.abs(values)) * TO_THZ
    return Modes(atoms, (rest @ inside @ rest.T) * np.outer(root, root), frequencies, rest @ vectors)


def setup(atoms: Atoms, repeat: tuple[int, int, int], displacement: float = DISPLACEMENT) -> Phonopy:
    """Phonopy with central-difference displacements (A) of a repeated primitive cell."""
    phonon = Phonopy(to_phonopy(atoms), supercell_matrix=np.diag(repeat), primitive_matrix=np.eye(3), symprec=1e-4)
    phonon.generate_displacements(distance=displacement, is_plusminus=True)
    return phonon


def full_hessian(phonon: Phonopy, forces: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Hessian (eV/A^2, shape ``(3 n, 3 n)``) of phonopy's supercell from the forces (eV/A) of its displaced cells."""
    phonon.forces = np.array(forces)
    phonon.produce_force_constants(calculate_full_force_constants=True)
    constants = np.array(phonon.force_constants)
    n = len(constants)
    return constants.transpose(0, 2, 1, 3).reshape(3 * n, 3 * n)


def reference_modes(framework: Framework, work: Path, tag: str | None = None) -> Modes:
    """Hessian and modes of a framework's labelled cell with GFN1-xTB.

    Parameters
    ----------
    framework : Framework
        The framework.
    work : Path
        Work folder; reads ``minima/TAG.extxyz``, writes ``hessians/TAG.npz`` and one file per displacement.
    tag : str, optional
        Name of the stationary point; default is the framework's own name, its minimum.
    """
    tag = tag or framework.name
    target = work / "hessians" / f"{tag}.npz"
    phonon = setup(read(work / "minima" / f"{tag}.extxyz"), framework.repeat)
    cell = from_phonopy(phonon.supercell)
    if not target.exists():
        kind = "difference" if tag == framework.name else "saddle"
        displaced = {
            work / "labels" / framework.name / f"train-{kind}-{i:04d}.extxyz": from_phonopy(supercell)
            for i, supercell in enumerate(phonon.supercells_with_displacements)
        }
        missing = [path for path in displaced if not path.exists()]
        calc = RepeatedGFN1() if missing else None
        for path in missing:
            atomic_write(path, labelled(displaced[path], calc, kind=kind, name=framework.name))
        forces = [read(path).get_forces() for path in displaced]
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_suffix(".part.npz")
        np.savez(temporary, hessian=full_hessian(phonon, forces))
        temporary.replace(target)
    with np.load(target) as data:
        return diagonalise(cell, data["hessian"])


def load_all(work: Path) -> dict[str, Modes]:
    """Modes of every framework whose minimum is there."""
    return {
        name: reference_modes(framework, work)
        for name, framework in FRAMEWORKS.items()
        if (work / "minima" / f"{name}.extxyz").exists()
    }
