"""Graphs of cells: what a network sees of atoms and their neighbours, before anything that it learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray
from torch import Tensor

Groups = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Neighbours:
    """Neighbours of the atoms of one cell, atoms sorted by element, pairs by centre.

    Attributes
    ----------
    order : ndarray, shape=(natom,)
        Index of each atom in the input.
    elements : ndarray, shape=(natom,)
        Index of each atom's element.
    centre, source : ndarray, shape=(npair,)
        Atoms of each pair.
    vectors : ndarray, shape=(npair, 3)
        From the centre to its neighbour in Angstrom.
    volume : float
        Angstrom^3; infinite without a cell.
    """

    order: NDArray[np.int64]
    elements: NDArray[np.int64]
    centre: NDArray[np.int64]
    source: NDArray[np.int64]
    vectors: NDArray[np.float64]
    volume: float

    def widths(self) -> NDArray[np.int64]:
        """Return the largest number of neighbours of an atom of each element."""
        degree = np.bincount(self.centre, minlength=len(self.order))
        widths = np.zeros(self.elements.max() + 1, dtype=int)
        np.maximum.at(widths, self.elements, degree)
        return widths


def find_neighbours(atoms: Atoms, numbers: list[int], r_max: float) -> Neighbours:
    """Neighbours within `r_max` (Angstrom); `numbers` are the atomic numbers that the model knows."""
    elements = np.array([numbers.index(z) for z in atoms.numbers])
    order = np.argsort(elements, kind="stable")
    rank = np.argsort(order)
    i, j, d = neighbor_list("ijD", atoms, r_max)
    by_centre = np.argsort(rank[i], kind="stable")
    volume = abs(float(np.linalg.det(atoms.cell.array)))
    return Neighbours(
        order, elements[order], rank[i][by_centre], rank[j][by_centre], d[by_centre], volume or float(np.inf)
    )


@dataclass(frozen=True)
class Graph:
    """What a network sees of one cell, or of several of one composition, atoms sorted by element.

    Every atom of an element has the same number of pairs; those that are missing lie beyond the cutoff.

    Attributes
    ----------
    groups : tuple of (int, int, int)
        Element index, number of atoms, neighbours per atom.
    order : Tensor, shape=(natom,)
        Index of each atom in its cell.
    structure : Tensor, shape=(natom,)
        Cell of each atom.
    onehot : Tensor, shape=(natom, nelement)
    source, centre : Tensor, shape=(npair,)
    vectors : Tensor, shape=(npair, 3)
        Angstrom.
    edges : Tensor, shape=(npair, nedge)
        Spherical harmonics and radial basis of each pair.
    slopes : Tensor, shape=(npair, nedge, 3)
        Derivatives by the vector, 1/A.
    repulsion : Tensor, shape=(ncell,)
        Energy of the repulsion between nuclei, eV.
    repulsion_slopes : Tensor, shape=(npair, 3)
        eV/A.
    volume : Tensor, shape=(ncell,)
        Angstrom^3.
    bends : Tensor, shape=(npair, nedge, 3, 3), optional
        Second derivatives of the edges, 1/A^2.
    repulsion_bends : Tensor, shape=(npair, 3, 3), optional
        eV/A^2.
    """

    groups: Groups
    order: Tensor
    structure: Tensor
    onehot: Tensor
    source: Tensor
    centre: Tensor
    vectors: Tensor
    edges: Tensor
    slopes: Tensor
    repulsion: Tensor
    repulsion_slopes: Tensor
    volume: Tensor
    bends: Tensor | None = None
    repulsion_bends: Tensor | None = None

    def gather(self, pairs: Tensor) -> Tensor:
        """Turn derivatives by the vectors of the pairs into derivatives by positions, shape ``(natom, 3)``."""
        zero = pairs.new_zeros((len(self.onehot), 3))
        return zero.index_add(0, self.source, pairs).index_add(0, self.centre, -pairs)

    def total(self, values: Tensor) -> Tensor:
        """Sum the atoms' values in each cell."""
        zero = values.new_zeros((len(self.volume), *values.shape[1:]))
        return zero.index_add(0, self.structure, values)

    def to(self, device: torch.device) -> Graph:
        """Copy to a device."""
        return Graph(self.groups, *(each.to(device) for each in tensors(self)))


def tensors(record: Any) -> list[Tensor]:
    """Return the tensors of a dataclass, in the order of its fields."""
    found = (getattr(record, each.name) for each in fields(record))
    return [each for each in found if isinstance(each, Tensor)]


@cache
def _interleaved(sizes: tuple[int, ...], count: int, device: torch.device) -> Tensor:
    """Where the rows of `count` tables come from, when blocks of `sizes` are to be together."""
    blocks = torch.arange(count * sum(sizes)).view(count, -1).split(sizes, dim=1)
    return torch.cat([b.reshape(-1) for b in blocks]).to(device)


def join_atoms(groups: Groups, values: Sequence[Tensor]) -> Tensor:
    """Join the atoms' values of several cells in the order of their joint graph."""
    rows = _interleaved(tuple(n for _, n, _ in groups), len(values), values[0].device)
    return torch.cat(list(values)).index_select(0, rows)


def join(graphs: Sequence[Graph]) -> Graph:
    """Join graphs, without second derivatives, of cells with the same groups."""
    first, count = graphs[0], len(graphs)
    assert all(g.groups == first.groups for g in graphs)
    natom = len(first.onehot)
    rows = _interleaved(tuple(n for _, n, _ in first.groups), count, first.edges.device)
    place = torch.empty_like(rows)
    place[rows] = torch.arange(len(rows), device=rows.device)
    pairs = _interleaved(tuple(n * width for _, n, width in first.groups), count, first.edges.device)

    def atoms(name: str) -> Tensor:
        return torch.cat([getattr(g, name) for g in graphs]).index_select(0, rows)

    def of_pairs(name: str) -> Tensor:
        return torch.cat([getattr(g, name) for g in graphs]).index_select(0, pairs)

    def ends(name: str) -> Tensor:
        return place[torch.cat([getattr(g, name) + k * natom for k, g in enumerate(graphs)])].index_select(0, pairs)

    return Graph(
        groups=tuple((element, count * n, width) for element, n, width in first.groups),
        order=atoms("order"),
        structure=torch.cat([g.structure + k for k, g in enumerate(graphs)]).index_select(0, rows),
        onehot=atoms("onehot"),
        source=ends("source"),
        centre=ends("centre"),
        vectors=of_pairs("vectors"),
        edges=of_pairs("edges"),
        slopes=of_pairs("slopes"),
        repulsion=torch.cat([g.repulsion for g in graphs]),
        repulsion_slopes=of_pairs("repulsion_slopes"),
        volume=torch.cat([g.volume for g in graphs]),
    )
