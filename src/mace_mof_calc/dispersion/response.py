"""Linear response of D3(BJ): the derivative of all forces along a displacement, exact, in a crystal without end.

With ``a_i = dE/dn_i`` the gradient by an atom's position is the sum over its pairs of a tension,
``phi_r + (a_i + a_j) c_r``, along the unit vector. A displacement changes the pairs of the atom itself, with them the
coordination numbers nearby, with these C6 and so the tension of all their pairs, and the a of everything within both
reaches, and with these the tension of the near pairs there. Each step is a sum over the pairs of what has changed, all
of them copies of the unit cell's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.jit import compiled
from .pairs import Pairs, State

Array = np.ndarray[Any, Any]


def respond_to_atom(state: State, index: int, directions: Array) -> tuple[Array, Array, Array]:
    """Return the response of the crystal without end to the displacement of one atom.

    Parameters
    ----------
    state : State
    index : int
        The atom, in cell 0.
    directions : ndarray, shape=(count, 3)

    Returns
    -------
    atom : ndarray, shape=(nodes,), dtype=int
        Atoms whose forces change, and in which cells:
    cell : ndarray, shape=(nodes, 3), dtype=int
    response : ndarray, shape=(count, nodes, 3)
        Derivative of their forces, eV/A^2 for unit vectors.
    """
    count, middle = len(state.curvature), np.array(state.box) // 2
    here = int(np.ravel_multi_index((*middle, index), (*state.box, count)))
    gradients = np.zeros((len(directions), count * int(np.prod(state.box)), 3))
    change = np.zeros(gradients.shape[1:])
    for direction, gradient in zip(directions, gradients, strict=True):
        change[here] = direction
        _respond(state, state.pairs.shift, state.near.shift, change, gradient)
    nodes = np.flatnonzero(gradients.any(axis=(0, 2)))
    cell, atom = np.divmod(nodes, count)
    return atom, np.stack(np.unravel_index(cell, state.box), axis=1) - middle, -gradients[:, nodes]


def respond_to_all(state: State, displacements: Array) -> Array:
    """Return the derivative of all forces along displacements of the periodic structure.

    Parameters
    ----------
    state : State
    displacements : ndarray, shape=(count, atoms, 3)
        In A; all periodic images move alike.

    Returns
    -------
    ndarray, shape=(count, atoms, 3)
        eV/A.
    """
    gradients = np.zeros(np.shape(displacements))
    shift, near_shift = (_close(pairs) for pairs in (state.pairs, state.near))
    for change, gradient in zip(np.asarray(displacements, dtype=float), gradients, strict=True):
        _respond(state, shift, near_shift, np.ascontiguousarray(change), gradient)
    return -gradients


def _close(pairs: Pairs) -> Array:
    """Return shifts that lead to the partner's image in the same cell."""
    count = len(pairs.start) - 1
    first = np.repeat(np.arange(count), np.diff(pairs.start))
    closed: Array = (first + pairs.shift) % count - first
    return closed


def _respond(state: State, shift: Array, near_shift: Array, change: Array, gradient: Array) -> None:
    """Add the derivative of the energy's gradient along a change of positions to `gradient`, both per node."""
    pairs, near, count = state.pairs, state.near, len(state.curvature)
    numbers, weights = np.zeros(len(change)), np.zeros(len(change))
    _move(
        np.flatnonzero(change.any(axis=1)), pairs.start, shift, pairs.unit, state.distance, state.tension,
        state.stiffness, state.slope_first, state.slope_second, state.counting, change, numbers, weights, gradient,
    )  # fmt: skip
    counted = np.flatnonzero(numbers)
    weights[counted] += state.curvature[counted % count] * numbers[counted]
    _spread(counted, pairs.start, shift, state.mixed, numbers, weights)
    _pull(counted, pairs.start, shift, pairs.unit, state.slope_first, numbers, gradient)
    _pull(np.flatnonzero(weights), near.start, near_shift, near.unit, state.near_counting, weights, gradient)


@compiled
def _move(
    nodes: Array,
    start: Array,
    shift: Array,
    unit: Array,
    distance: Array,
    tension: Array,
    stiffness: Array,
    slope_first: Array,
    slope_second: Array,
    counting: Array,
    change: Array,
    numbers: Array,
    weights: Array,
    gradient: Array,
) -> None:
    """Add what moving some nodes changes at once: coordination numbers, a at fixed numbers, gradient at fixed a."""
    for n in range(len(nodes)):
        k = nodes[n]
        i = k % (len(start) - 1)
        for e in range(start[i], start[i + 1]):
            j = k + shift[e]
            along = 0.0
            for x in range(3):
                along += unit[e, x] * change[k, x]
            numbers[k] += counting[e] * along
            numbers[j] += counting[e] * along
            weights[k] += slope_first[e] * along
            weights[j] += slope_second[e] * along
            turning = tension[e] / distance[e]
            stretching = (stiffness[e] - turning) * along
            for x in range(3):
                pull = stretching * unit[e, x] + turning * change[k, x]
                gradient[k, x] += pull
                gradient[j, x] -= pull


@compiled
def _spread(nodes: Array, start: Array, shift: Array, factor: Array, source: Array, target: Array) -> None:
    """Add the product of each node's source and a factor to the partner's target."""
    for n in range(len(nodes)):
        k = nodes[n]
        i = k % (len(start) - 1)
        for e in range(start[i], start[i + 1]):
            target[k + shift[e]] += factor[e] * source[k]


@compiled
def _pull(nodes: Array, start: Array, shift: Array, unit: Array, factor: Array, source: Array, gradient: Array) -> None:
    """Add a tension, the product of each node's source and a factor, to the gradients of both partners."""
    for n in range(len(nodes)):
        k = nodes[n]
        i = k % (len(start) - 1)
        for e in range(start[i], start[i + 1]):
            j = k + shift[e]
            for x in range(3):
                pull = factor[e] * source[k] * unit[e, x]
                gradient[k, x] += pull
                gradient[j, x] -= pull
