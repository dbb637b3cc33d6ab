"""A crystal of nearest-neighbour springs, whose phonons are known."""

from __future__ import annotations

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.neighborlist import neighbor_list
from ase.stress import full_3x3_to_voigt_6_stress

# eV/A^2/u in THz^2: (1 / 2 pi)^2 * e / (1e-20 * u) * 1e-24
_SQUARE_THZ = 1.60217733e-19 / 1.6605402e-27 * 1e20 / (2 * np.pi * 1e12) ** 2


class Springs(Calculator):
    """E = k/2 sum over neighbour pairs of (r - r0)^2.

    Parameters
    ----------
    k : float
        Spring constant in eV/A^2.
    r0 : float
        Rest length in A.
    cutoff : float
        Pairs closer than this (A) are joined.

    """

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012  (ASE's own convention)

    def __init__(self, k: float, r0: float, cutoff: float) -> None:
        super().__init__()
        self.k, self.r0, self.cutoff = k, r0, cutoff
        self.calls = 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        i, d, vectors = neighbor_list("idD", atoms, self.cutoff)
        pull = self.k * (d - self.r0) / d
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, i, pull[:, None] * vectors)
        virial = 0.5 * np.einsum("p,pa,pb->ab", pull, vectors, vectors)
        self.results = {
            "energy": 0.25 * self.k * float(((d - self.r0) ** 2).sum()),
            "forces": forces,
            "stress": full_3x3_to_voigt_6_stress(virial / atoms.get_volume()),
        }


class ExactSprings(Springs):
    """The same between nearest neighbours, at their rest length; knows the derivative of its forces."""

    has_linear_response = True
    responses = 0

    def atom_response(self, atoms, index, directions):
        self.responses += 1
        reach = np.stack(np.meshgrid(*[[-2, -1, 0, 1, 2]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
        atom = np.repeat(np.arange(len(atoms)), len(reach))
        cell = np.tile(reach, (len(atoms), 1))
        away = atoms.positions[atom] + cell @ atoms.cell.array - atoms.positions[index]
        distance = np.linalg.norm(away, axis=1)
        bonded = np.isclose(distance, self.r0, atol=1e-6)
        unit = away[bonded] / self.r0
        itself = np.flatnonzero(distance < 1e-6)
        response = np.zeros((len(directions), len(atom), 3))
        response[:, bonded] = self.k * np.einsum("nk,nm,dm->dnk", unit, unit, directions)
        response[:, itself] = -response[:, bonded].sum(axis=1, keepdims=True)
        return atom, cell, response


def fcc_frequencies_at_x(k: float, mass: float) -> np.ndarray:
    """Return THz frequencies of fcc with nearest-neighbour springs at X: m omega^2 = 4k (twice) and 8k."""
    return np.sqrt(np.array([4 * k, 4 * k, 8 * k]) / mass * _SQUARE_THZ)
