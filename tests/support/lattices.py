"""Crystals whose quasi-harmonic or self-consistent phonons are known."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress
from matscipy.neighbours import neighbour_list


class ScalingSprings(Calculator):
    """Fcc in which every frequency goes as V^-gamma, with a static energy of Vinet's form.

    E = sum over nearest neighbours of k(V)/2 (e . (u_i - u_j))^2 + E_Vinet(V), u being displacements from the perfect
    lattice, e the direction of the bond and k(V) = k0 (V/V0)^(-2 gamma).

    Parameters
    ----------
    k0 : float
        Spring constant in eV/A^2 at V0.
    v0 : float
        A^3 per atom.
    b0 : float
        Bulk modulus in eV/A^3 of the static crystal.
    gamma : float
        Grueneisen parameter of all modes.
    b_prime : float
        dB/dp of the static crystal.

    """

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012  (ASE's own convention)

    def __init__(self, k0: float, v0: float, b0: float, gamma: float, b_prime: float = 4.0) -> None:
        super().__init__()
        self.k0, self.v0, self.b0, self.gamma, self.b_prime = k0, v0, b0, gamma, b_prime
        self.parameters = {"k0": k0, "v0": v0, "b0": b0, "gamma": gamma, "b_prime": b_prime}

    def static(self, volume):
        """Return Vinet's energy per atom, and its derivative."""
        x, eta = np.cbrt(volume / self.v0), 1.5 * (self.b_prime - 1)
        decay = np.exp(eta * (1 - x))
        energy = 9 * self.b0 * self.v0 / eta**2 * (1 + (eta * (1 - x) - 1) * decay)
        return energy, -3 * self.b0 * (1 - x) / x**2 * decay

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        volume = atoms.get_volume() / len(atoms)
        half = np.cbrt(4 * volume) / 2
        # Lattice sites are at multiples of half the cube's edge, up to a drift that is common to all.
        perfect = np.rint(atoms.positions / half) * half
        moved = atoms.positions - perfect
        ideal = Atoms(numbers=atoms.numbers, positions=perfect, cell=atoms.cell, pbc=True)
        i, j, bonds = neighbour_list("ijD", ideal, 1.2 * half * np.sqrt(2))
        unit = bonds / np.linalg.norm(bonds, axis=1)[:, None]
        k = self.k0 * (volume / self.v0) ** (-2 * self.gamma)
        stretch = np.einsum("px,px->p", unit, moved[i] - moved[j])
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, i, -k * stretch[:, None] * unit)
        energy, slope = self.static(volume)
        self.results = {
            "energy": len(atoms) * energy + 0.25 * k * float(stretch @ stretch),
            "forces": forces,
            # Of the perfect lattice: displaced atoms are not relaxed here.
            "stress": np.array([slope] * 3 + [0.0] * 3),
        }


class Shells(Calculator):
    """Cubic anharmonic springs between neighbours, one kind for each range of distances.

    E = sum over pairs of k/2 (r - r0)^2 - g/3 (r - r0)^3.

    Parameters
    ----------
    shells : sequence of tuple
        (shortest, longest, r0, k, g) of each kind, in A and eV.

    """

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012

    def __init__(self, *shells) -> None:
        super().__init__()
        self.shells = shells
        self.parameters = {"shells": shells}

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        i, d, vectors = neighbour_list("idD", atoms, max(shell[1] for shell in self.shells))
        energy, pull = 0.0, np.zeros_like(d)
        for shortest, longest, r0, k, g in self.shells:
            own = (d >= shortest) & (d < longest)
            x = d[own] - r0
            energy += 0.5 * float((k / 2 * x**2 - g / 3 * x**3).sum())
            pull[own] = (k * x - g * x**2) / d[own]
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, i, pull[:, None] * vectors)
        virial = 0.5 * np.einsum("p,pa,pb->ab", pull, vectors, vectors)
        self.results = {
            "energy": energy,
            "forces": forces,
            "stress": full_3x3_to_voigt_6_stress(virial / atoms.get_volume()),
        }


def tetragonal():
    """Return a tetragonal crystal with soft, anharmonic springs along c, and its calculator."""
    a, c = 2.6, 3.2
    atoms = Atoms("Cu", cell=[a, a, c], pbc=True)
    across, slanted = a * np.sqrt(2), np.hypot(a, c)
    return atoms, Shells(
        (2.2, 2.9, a, 4.0, 3.0),
        (2.9, 3.45, c, 1.5, 3.0),
        (3.45, 3.9, across, 1.0, 0.5),
        (3.9, 4.35, slanted, 0.7, 1.5),
    )


def monoclinic():
    """Return a monoclinic crystal with a different spring along every bond, and its calculator."""
    cell = np.array([[2.6, 0, 0], [0, 3.1, 0], [-0.3, 0, 3.5]])
    atoms = Atoms("Cu", cell=cell, pbc=True)
    lengths = {
        "a": np.linalg.norm(cell[0]),
        "b": np.linalg.norm(cell[1]),
        "c": np.linalg.norm(cell[2]),
        "a+c": np.linalg.norm(cell[0] + cell[2]),
        "a+b": np.linalg.norm(cell[0] + cell[1]),
        "c-a": np.linalg.norm(cell[2] - cell[0]),
        "b+c": np.linalg.norm(cell[1] + cell[2]),
    }
    springs = {"a": (4, 3), "b": (3, 4), "c": (2, 3), "a+c": (1, 3), "a+b": (1, 1), "c-a": (0.5, 1), "b+c": (0.8, 1)}
    names = sorted(lengths, key=lengths.get)
    values = [lengths[name] for name in names]
    edges = [2.2, *((x + y) / 2 for x, y in pairwise(values)), values[-1] + 0.04]
    return atoms, Shells(*((edges[k], edges[k + 1], lengths[name], *springs[name]) for k, name in enumerate(names)))


EDGE = 3.0
"""Of the cube of `softening` at rest, in A."""


def softening():
    """Return a simple cubic crystal whose long waves turn imaginary 1 % out, and shorter ones 2 % out, and its springs.

    It is heavy, so that it hardly moves at 0 K.
    """
    atoms = Atoms("Cu", masses=[1e4], cell=[EDGE] * 3, pbc=True)
    return atoms, Shells(
        (2.5, 3.6, EDGE, 4.0, 8.0), (3.6, 5.0, EDGE * np.sqrt(2), 1.0, 1.0), (5.6, 6.3, 2 * EDGE, -0.7, 6.0)
    )


def square_frequencies(calculator, edge, qpoints):
    """Return eigenvalues of the dynamical matrix times the mass, in eV/A^2, of one atom in a cube, from its springs."""
    cells = np.array([cell for cell in product(range(-2, 3), repeat=3) if any(cell)])
    matrices = np.zeros((len(qpoints), 3, 3))
    for shortest, longest, r0, k, g in calculator.shells:
        length = np.linalg.norm(cells * edge, axis=1)
        own = (length >= shortest) & (length < longest)
        x, along = length[own] - r0, cells[own] * edge / length[own, None]
        along = along[:, :, None] * along[:, None, :]
        stiff, tense = k - 2 * g * x, (k * x - g * x**2) / length[own]
        springs = stiff[:, None, None] * along + tense[:, None, None] * (np.eye(3) - along)
        matrices += np.tensordot(1 - np.cos(2 * np.pi * qpoints @ cells[own].T), springs, 1)
    return np.linalg.eigvalsh(matrices)


def compliances(atoms, calculator, h=1e-4):
    """Return elastic compliances in 1/GPa of a crystal with one atom, whose atoms do not move inside the cell."""
    stiffness = np.zeros((6, 6))
    for j, (x, y) in enumerate(((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))):
        stress = []
        for sign in (1, -1):
            strain = np.zeros((3, 3))
            strain[x, y] += sign * h / 2
            strain[y, x] += sign * h / 2
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
            strained.calc = calculator
            stress.append(strained.get_stress())
        stiffness[:, j] = (stress[0] - stress[1]) / (2 * h) * 160.21766208
    return np.linalg.inv((stiffness + stiffness.T) / 2)


class QuarticSites(Calculator):
    """Rock salt whose light atoms are independent quartic oscillators among heavy ones that hardly move.

    E = sum over light atoms and directions of a/2 x^2 + b/4 x^4, x being the displacement from the mean of the six
    heavy neighbours, and harmonic springs k between heavy neighbours, along their bonds. Nothing changes when all atoms
    move together.

    Parameters
    ----------
    a, b : float
        In eV/A^2 and eV/A^4.
    edge : float
        Of the cube, in A.
    k : float
        In eV/A^2.

    """

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(self, a: float, b: float, edge: float, k: float = 5.0) -> None:
        super().__init__()
        self.a, self.b, self.edge, self.k = a, b, edge, k
        self.parameters = {"a": a, "b": b, "edge": edge, "k": k}

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        half = self.edge / 2
        perfect = np.rint(atoms.positions / half) * half
        moved = atoms.positions - perfect
        light = atoms.numbers == atoms.numbers.min()
        i, j, bonds = neighbour_list(
            "ijD", Atoms(numbers=atoms.numbers, positions=perfect, cell=atoms.cell, pbc=True), half * 1.45
        )
        near = np.linalg.norm(bonds, axis=1) < half * 1.2
        mean = np.zeros_like(moved)
        own = near & light[i]
        np.add.at(mean, i[own], moved[j[own]] / 6)
        x = np.where(light[:, None], moved - mean, 0)
        pull = self.a * x + self.b * x**3
        forces = -pull
        np.add.at(forces, j[own], pull[i[own]] / 6)
        heavy = ~near & ~light[i]
        unit = bonds[heavy] / np.linalg.norm(bonds[heavy], axis=1)[:, None]
        stretch = np.einsum("px,px->p", unit, moved[i[heavy]] - moved[j[heavy]])
        np.add.at(forces, i[heavy], -self.k * stretch[:, None] * unit)
        energy = float((self.a / 2 * x**2 + self.b / 4 * x**4).sum()) + 0.25 * self.k * float(stretch @ stretch)
        self.results = {"energy": energy, "forces": forces}
