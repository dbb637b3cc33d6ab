"""A crystal of nearest-neighbour springs, whose phonons are known."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress
from matscipy.neighbours import neighbour_list

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
        i, d, vectors = neighbour_list("idD", atoms, self.cutoff)
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


class BondedSprings(Calculator):
    """A crystal whose atoms are joined by springs at their rest lengths, whatever the distances and angles.

    E = sum over bonds of k/2 (r - r0)^2. It takes the unit cell it was made for and strained ones, and knows the
    derivative of its forces at rest.

    Parameters
    ----------
    atoms : Atoms
        Unit cell at rest.
    bonds : list of (i, j, cell, k)
        From atom i to the image of atom j in a cell; spring constant in eV/A^2.

    """

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012  (ASE's own convention)
    has_linear_response = True

    def __init__(self, atoms, bonds):
        super().__init__()
        first, second, cells, k = zip(*bonds, strict=True)
        self.first, self.second = np.array(first), np.array(second)
        self.cells, self.k = np.array(cells), np.array(k, dtype=float)
        self.lengths = np.linalg.norm(self._vectors(atoms), axis=1)

    @classmethod
    def within(cls, atoms, reach, k):
        """Join all atoms closer than `reach` by springs of constants k(i, j, distance)."""
        i, j, distances, cells = neighbour_list("ijdS", atoms, reach)
        bonds = zip(i, j, cells, distances, strict=True)
        half = [(i, j, S, k(i, j, d)) for i, j, S, d in bonds if (i, j, *S) < (j, i, *-S)]
        return cls(atoms, half)

    def _vectors(self, atoms):
        return atoms.positions[self.second] + self.cells @ atoms.cell.array - atoms.positions[self.first]

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        vectors = self._vectors(atoms)
        distances = np.linalg.norm(vectors, axis=1)
        pull = (self.k * (distances - self.lengths) / distances)[:, None] * vectors
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, self.first, pull)
        np.add.at(forces, self.second, -pull)
        self.results = {
            "energy": 0.5 * float(self.k @ (distances - self.lengths) ** 2),
            "forces": forces,
            "stress": full_3x3_to_voigt_6_stress(pull.T @ vectors / atoms.get_volume()),
        }

    def atom_response(self, atoms, index, directions):
        found_atoms, found_cells, response = [], [], []
        normals = self._vectors(atoms) / self.lengths[:, None]
        for i, j, cell, k, n in zip(self.first, self.second, self.cells, self.k, normals, strict=True):
            pull = k * np.outer(directions @ n, n)
            for here, there, sign in ((i, j, 1), (j, i, -1)):
                if here == index:
                    found_atoms += [index, there]
                    found_cells += [0 * cell, sign * cell]
                    response += [-pull, pull]
        return np.array(found_atoms), np.array(found_cells), np.stack(response, axis=1)

    def stiffness(self, atoms, *, clamped=False):
        """Return the elastic constants by lattice sums, in eV/A^3: E to second order in strain and shifts of atoms."""
        normals = self._vectors(atoms) / self.lengths[:, None]
        x, y, z = normals.T
        # Lengthening of each bond per Voigt strain and per shift of each atom.
        by_strain = self.lengths * np.array([x * x, y * y, z * z, y * z, x * z, x * y])
        by_shift = np.zeros((len(self.k), len(atoms), 3))
        for b, (i, j) in enumerate(zip(self.first, self.second, strict=True)):
            by_shift[b, i] -= normals[b]
            by_shift[b, j] += normals[b]
        by_shift = by_shift.reshape(len(self.k), -1)
        hessian, coupling = by_shift.T * self.k @ by_shift, by_shift.T * self.k @ by_strain.T
        relaxing = 0 if clamped else coupling.T @ np.linalg.pinv(hessian, rcond=1e-10) @ coupling
        return (by_strain * self.k @ by_strain.T - relaxing) / atoms.get_volume()


def triclinic_springs() -> tuple[Atoms, BondedSprings]:
    """Return a crystal of two atoms and no symmetry at all, with springs of all lengths and strengths."""
    atoms = Atoms(
        "CuAu",
        cell=[[3.1, 0.1, -0.2], [0.4, 3.4, 0.3], [-0.5, 0.6, 3.9]],
        scaled_positions=[[0.02, 0.01, 0.03], [0.41, 0.58, 0.46]],
        pbc=True,
    )
    random = np.random.default_rng(3)
    return atoms, BondedSprings.within(atoms, 4.2, lambda i, j, distance: random.uniform(1, 5))
