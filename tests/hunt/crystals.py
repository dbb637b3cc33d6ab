"""Crystals to try, and other ways to write the same one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.build import bulk
from hypothesis import settings
from hypothesis import strategies as st
from rewriting import rewritten

EMT_METALS = ("Al", "Cu", "Ag", "Au", "Ni", "Pd", "Pt")
MINI_ELEMENTS = ("H", "C", "N", "O", "Mg", "Al", "Ti", "Cu", "Zn", "Zr")


def fewer(share: int) -> settings:
    """Try fewer examples of what takes long, but two."""
    return settings(max_examples=max(2, settings().max_examples // share))


def floats(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, allow_infinity=False)


@st.composite
def unimodular(draw, most: int = 2):
    """Draw an integer matrix of determinant 1; its entries make cells that are strongly skewed."""
    basis = np.eye(3, dtype=int)
    for _ in range(draw(st.integers(0, 3))):
        i, j = draw(st.sampled_from([(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)]))
        basis[i] += draw(st.integers(-most, most)) * basis[j]
    return np.roll(basis, draw(st.integers(0, 2)), axis=0)


@st.composite
def rotations(draw):
    """Draw a proper rotation of row vectors."""
    quaternion = np.array(draw(st.tuples(*[floats(-1, 1)] * 4)))
    length = np.linalg.norm(quaternion)
    w, x, y, z = quaternion / length if length > 0.1 else (1.0, 0.0, 0.0, 0.0)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


@dataclass(frozen=True)
class Rewriting:
    """Another basis of the lattice, order of atoms, origin and orientation, and other images of the atoms."""

    basis: np.ndarray
    order: list[int]
    origin: np.ndarray
    rotation: np.ndarray
    images: np.ndarray

    def __call__(self, atoms: Atoms) -> Atoms:
        other, _ = rewritten(atoms, basis=self.basis, order=self.order, origin=self.origin, rotation=self.rotation)
        other.positions += self.images @ other.cell.array
        return other

    def vectors(self, vectors: np.ndarray) -> np.ndarray:
        """Return vectors of atoms as the other crystal has them."""
        return vectors[..., self.order, :] @ self.rotation

    def tensor(self, tensor: np.ndarray) -> np.ndarray:
        return self.rotation.T @ tensor @ self.rotation


@st.composite
def rewritings(draw, atoms: Atoms, most: int = 2, *, mirrored: bool = False):
    """Draw another way to write a crystal, perhaps its mirror image too."""
    count = len(atoms)
    rotation = draw(rotations())
    if mirrored and draw(st.booleans()):
        rotation = -rotation
    return Rewriting(
        basis=draw(unimodular(most)),
        order=list(draw(st.permutations(range(count)))),
        origin=np.array(draw(st.tuples(*[floats(-20, 20)] * 3))),
        rotation=rotation,
        images=np.array(draw(st.lists(st.tuples(*[st.integers(-2, 2)] * 3), min_size=count, max_size=count))),
    )


@st.composite
def crystals(draw, elements=MINI_ELEMENTS, most: int = 5, edge: tuple[float, float] = (2.5, 5.5)):
    """Draw a crystal of no symmetry, its atoms near the sites of a grid of 2 x 2 x 2."""
    cell = np.diag(draw(st.tuples(*[floats(*edge)] * 3)))
    cell[np.tril_indices(3, -1)] = draw(st.tuples(*[floats(-1.5, 1.5)] * 3))
    sites = draw(st.lists(st.integers(0, 7), min_size=1, max_size=most, unique=True))
    symbols = draw(st.lists(st.sampled_from(elements), min_size=len(sites), max_size=len(sites)))
    away = np.array(draw(st.lists(st.tuples(*[floats(-0.1, 0.1)] * 3), min_size=len(sites), max_size=len(sites))))
    corners = np.array([[site >> 2, site >> 1 & 1, site & 1] for site in sites]) / 2
    return Atoms(symbols, scaled_positions=corners + away, cell=cell, pbc=True)


def _layers() -> Atoms:
    """Return CuAu of the structure L1_0, tetragonal."""
    return Atoms("CuAu", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=[2.82, 2.82, 3.7], pbc=True)


def _inclined() -> Atoms:
    """Return CuAu of the structure L1_1, trigonal: one layer of each along a diagonal of the cube."""
    cell = 1.93 * np.array([[2, 1, 1], [1, 2, 1], [1, 1, 2]])
    return Atoms("CuAu", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=cell, pbc=True)


def _ordered() -> Atoms:
    """Return Cu3Au of the structure L1_2, cubic."""
    atoms = bulk("Cu", a=3.75, cubic=True)
    atoms.symbols[0] = "Au"
    return atoms


PROTOTYPES = {
    "fcc": bulk("Cu"),
    "fcc, conventional": bulk("Ni", cubic=True),
    "hcp": bulk("Cu", "hcp", a=2.55, c=4.15),
    "L1_0": _layers(),
    "L1_1": _inclined(),
    "L1_2": _ordered(),
}
"""Crystals of metals that ASE's effective medium theory holds together, with symmetry."""
