"""Pairs of D3(BJ) in a unit cell, and all derivatives of their energies that linear response needs.

The energy is ``1/2 sum_ij phi_ij`` over ordered pairs, with ``phi = -C6(n_i, n_j) g(r)`` and coordination numbers
``n_i = sum_j c(r_ij)``. Tables, parameters, units and cutoffs are torch-dftd's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.units import Bohr

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Ordered pairs of atoms, sorted by first atom and shift.

    Nodes are the atoms of a box of cells, ``node = atoms * cell + atom``, the cells counted as numpy flattens `box`.

    Attributes
    ----------
    start : ndarray, shape=(atoms + 1,), dtype=int
        First pair of each atom.
    shift : ndarray, shape=(pairs,), dtype=int
        From an atom's node to its partner's.
    unit : ndarray, shape=(pairs, 3)
        Direction from the partner to the atom.
    """

    start: Array
    shift: Array
    unit: Array


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """A unit cell as D3 sees it.

    Attributes
    ----------
    energy : float
        eV.
    box : tuple of int
        Numbers of cells along the axes, odd, that hold all that one atom in the middle cell reaches.
    pairs : Pairs
        All pairs.
    distance : ndarray, shape=(pairs,)
        A.
    tension, stiffness : ndarray, shape=(pairs,)
        Derivative of the energy by the distance of a pair, eV/A, and its derivative by the distance, eV/A^2, the
        derivatives by coordination numbers held fixed.
    slope_first, slope_second : ndarray, shape=(pairs,)
        Second derivatives of phi by distance and coordination number of either atom, eV/A.
    mixed : ndarray, shape=(pairs,)
        Second derivative of phi by both coordination numbers, eV.
    curvature : ndarray, shape=(atoms,)
        Sum over an atom's pairs of the second derivative of phi by its own coordination number, eV.
    counting : ndarray, shape=(pairs,)
        Derivative of c by the distance, 1/A; zero beyond the cutoff of the coordination numbers.
    near : Pairs
        Pairs within that cutoff.
    near_counting : ndarray, shape=(near pairs,)
        Their part of `counting`.
    """

    energy: float
    box: tuple[int, int, int]
    pairs: Pairs
    distance: Array
    tension: Array
    stiffness: Array
    slope_first: Array
    slope_second: Array
    mixed: Array
    curvature: Array
    counting: Array
    near: Pairs
    near_counting: Array


def evaluate(module: Any, atoms: Atoms) -> State:
    """Evaluate the pairs of a structure and their derivatives.

    Parameters
    ----------
    module : torch_dftd.nn.dftd3_module.DFTD3Module
        With BJ damping; it has the tables, parameters and cutoffs.
    atoms : Atoms
    """
    from torch_dftd.functions.dftd3 import d3_autoang, d3_autoev

    numbers, count = atoms.numbers, len(atoms)
    first, second, offsets = _find_pairs(atoms, module.cutoff)
    vectors = atoms.positions[first] - atoms.positions[second] - offsets @ atoms.cell.array
    distance = np.linalg.norm(vectors, axis=1)
    within = distance / d3_autoang <= module.cnthr / Bohr
    box = _box(offsets, offsets[within])
    shift = second - first + count * (offsets @ [box[1] * box[2], box[2], 1])
    order = np.lexsort((shift, first))
    first, second, shift, distance, within = (part[order] for part in (first, second, shift, distance, within))
    unit = vectors[order] / distance[:, None]

    pair, r = first * count + second, distance / d3_autoang
    radii = _table(module.rcov)[numbers]
    counts = [np.where(within, part, 0.0) for part in _count(r, (radii[first] + radii[second]))]
    c6 = d3_autoev * _coefficients(_table(module.c6ab), numbers, np.bincount(first, counts[0], count))
    value, by_first, by_first_twice, by_both = (part.ravel()[pair] for part in c6)
    by_second = c6[1].T.ravel()[pair]
    charges = _table(module.r2r4)[numbers]
    g = _damp(r, 3 * charges[first] * charges[second], module.params)
    g[1] /= d3_autoang
    g[2] /= d3_autoang**2

    by_number = np.bincount(first, -by_first * g[0], count)
    weight = by_number[first] + by_number[second]
    counting = counts[1] / d3_autoang
    return State(
        energy=-0.5 * float(value @ g[0]),
        box=box,
        pairs=Pairs(_starts(first, count), shift, unit),
        distance=distance,
        tension=weight * counting - value * g[1],
        stiffness=weight * counts[2] / d3_autoang**2 - value * g[2],
        slope_first=-by_first * g[1],
        slope_second=-by_second * g[1],
        mixed=-by_both * g[0],
        curvature=np.bincount(first, -by_first_twice * g[0], count),
        counting=counting,
        near=Pairs(_starts(first[within], count), shift[within], unit[within]),
        near_counting=counting[within],
    )


def _find_pairs(atoms: Atoms, cutoff: float) -> tuple[Array, Array, Array]:
    """Return the atoms of torch-dftd's pairs, and the cells of the second ones."""
    import torch
    from torch_dftd.functions.edge_extraction import calc_edge_index

    edges, shifts = calc_edge_index(
        torch.as_tensor(atoms.positions),
        torch.as_tensor(atoms.cell.array) if atoms.pbc.any() else None,
        torch.as_tensor(atoms.pbc),
        cutoff=cutoff,
        bidirectional=True,
    )
    first, second = edges.numpy()
    return first, second, shifts.numpy().astype(int)


def _box(offsets: Array, near: Array) -> tuple[int, int, int]:
    """Return how many cells it takes: one step among all pairs, and one among the near ones before and after it."""
    x, y, z = (
        2 * int(np.abs(far).max(initial=0) + 2 * np.abs(close).max(initial=0)) + 1
        for far, close in zip(offsets.T, near.T, strict=True)
    )
    return x, y, z


def _starts(first: Array, count: int) -> Array:
    return np.searchsorted(first, np.arange(count + 1))


def _table(buffer: Any) -> Array:
    table: Array = buffer.cpu().numpy()
    return table


def _count(r: Array, radius: Array) -> list[Array]:
    """Return c of distances in Bohr, with two derivatives."""
    from torch_dftd.functions.dftd3 import d3_k1

    c = 1.0 / (1.0 + np.exp(-d3_k1 * (radius / r - 1.0)))
    inner = -d3_k1 * radius / r**2
    slope = c * (1.0 - c) * inner
    return [c, slope, slope * ((1.0 - 2.0 * c) * inner - 2.0 / r)]


def _damp(r: Array, ratio: Array, params: dict[str, float]) -> list[Array]:
    """Return g of distances in Bohr, with two derivatives, for ``ratio = C8 / C6``."""
    radius = params["rs6"] * np.sqrt(ratio) + params["rs18"]
    sixth, eighth = _inverse(r, radius, 6), _inverse(r, radius, 8)
    return [params["s6"] * a + params["s18"] * ratio * b for a, b in zip(sixth, eighth, strict=True)]


def _inverse(r: Array, radius: Array, power: int) -> list[Array]:
    """Return ``1 / (r^power + radius^power)``, with two derivatives by r."""
    value = 1.0 / (r**power + radius**power)
    slope = -power * r ** (power - 1) * value**2
    return [value, slope, slope * ((power - 1) / r + 2.0 * slope / value)]


def _coefficients(table: Array, numbers: Array, coordination: Array) -> Array:
    """Return C6 of all pairs of atoms, in Hartree Bohr^6.

    C6 is a mean over reference pairs, weighted with Gaussians of the coordination numbers. Derivatives of such a mean
    are cumulants of the value and the derivatives of the exponents.

    Parameters
    ----------
    table : ndarray, shape=(elements, elements, 5, 5, 3)
        Value and coordination numbers of each reference pair; the value is negative where there is none.
    numbers, coordination : ndarray, shape=(atoms,)

    Returns
    -------
    ndarray, shape=(4, atoms, atoms)
        C6, its first and second derivative by the first atom's coordination number, and that by both.
    """
    from torch_dftd.functions.dftd3 import d3_k3

    out = np.empty((4, len(numbers), len(numbers)))
    for i, (number, own) in enumerate(zip(numbers, coordination, strict=True)):
        value, first, second = np.moveaxis(table[number, numbers].reshape(len(numbers), -1, 3), -1, 0)
        p, q = own - first, coordination[:, None] - second
        exponent = np.where(value > 0, d3_k3 * (p**2 + q**2), -np.inf)
        weight = np.exp(exponent - exponent.max(axis=1, keepdims=True))
        weight /= weight.sum(axis=1, keepdims=True)
        mean, p_mean, q_mean = (np.sum(weight * part, axis=1, keepdims=True) for part in (value, p, q))
        v, p, q = value - mean, 2 * d3_k3 * (p - p_mean), 2 * d3_k3 * (q - q_mean)
        moments = (weight * part for part in (v * p, v * p * p, v * p * q))
        out[:, i] = mean[:, 0], *(moment.sum(axis=1) for moment in moments)
    return out
