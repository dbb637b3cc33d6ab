"""Energy and its derivatives by all edge vectors, written out by hand: no tape, no one-hot vectors, no padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .kernels import contract, contract_reverse, gather, gather_reverse
from .radial import Radial, evaluate_radial
from .tables import Block, FoldedModel, Mixing, Readout

Array = np.ndarray[Any, Any]
Members = Sequence[slice | Array]
"""Where the atoms of each element are."""


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """A neighbour list, edges sorted by receiver; atoms sorted by element.

    Attributes
    ----------
    elements : ndarray, shape=(atoms,), dtype=int
        As the model counts them, ascending.
    start : ndarray, shape=(atoms + 1,), dtype=int
        First edge of each receiver.
    sender : ndarray, shape=(edges,), dtype=int
    vectors : ndarray, shape=(edges, 3)
        Receiver minus sender, A.
    """

    elements: Array
    start: Array
    sender: Array
    vectors: Array

    @property
    def receiver(self) -> Array:
        """Receiver of each edge."""
        return np.repeat(np.arange(len(self.elements)), np.diff(self.start))


@dataclass(frozen=True, slots=True, eq=False)
class BlockState:
    """What a block leaves for its derivatives.

    Attributes
    ----------
    h, messages, features : ndarray, shape=(components, atoms, channels)
        What its senders send, what its polynomial takes, what comes out.
    angular : ndarray, shape=(edges, entries)
    """

    h: Array
    angular: Array
    messages: Array
    features: Array


@dataclass(frozen=True, slots=True, eq=False)
class BlockGradient:
    """Derivatives of the total energy by quantities inside a block.

    Attributes
    ----------
    products : ndarray, shape=(components, atoms, channels)
        By what its polynomial gives.
    gathered : ndarray, shape=(components, atoms, channels)
        By the sums over neighbours.
    """

    products: Array
    gathered: Array


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Energies of the sites and the gradient by the edge vectors.

    Attributes
    ----------
    energies : ndarray, shape=(atoms,)
        eV.
    gradient : ndarray, shape=(edges, 3)
        Derivative of the total energy by each edge vector, eV/A.
    unit, distances, harmonic_slopes : ndarray
        Geometry of the edges: ``(edges, 3)``, A ``(edges,)``, and ``(edges, harmonics, 3)``.
    by_distance : ndarray, shape=(edges,)
        Derivative of the energy by each distance alone, eV/A.
    by_harmonics : ndarray, shape=(edges, harmonics)
        Derivative of the energy by each spherical harmonic, eV.
    radial : Radial
    states : tuple of BlockState
    gradients : tuple of BlockGradient
    """

    energies: Array
    gradient: Array
    unit: Array
    distances: Array
    harmonic_slopes: Array
    by_distance: Array
    by_harmonics: Array
    radial: Radial
    states: tuple[BlockState, ...]
    gradients: tuple[BlockGradient, ...]


def evaluate(model: FoldedModel, edges: Edges, *, order: int = 1) -> Evaluation:
    """Evaluate a folded model on a neighbour list.

    Parameters
    ----------
    model : FoldedModel
    edges : Edges
    order : int, optional
        Order of the derivatives of the radial functions that are kept; `response` needs 2.
    """
    receiver, elements = edges.receiver, edges.elements
    distances = np.linalg.norm(edges.vectors, axis=1)
    unit = edges.vectors / distances[:, None]
    harmonics, slopes = model.harmonics.evaluate(unit)
    radial = evaluate_radial(model, distances, elements[receiver], elements[edges.sender], order)
    bounds = np.searchsorted(elements, np.arange(len(model.numbers) + 1))
    members: Members = [slice(low, high) for low, high in pairwise(bounds)]
    energies = model.energies[elements] + model.scale * np.bincount(receiver, radial.repulsion[0], len(elements))
    features: Array | None = None
    states, readouts = [], []
    for number, block in enumerate(model.blocks):
        state, features = _forward(model, block, number, edges, harmonics, radial, features, members)
        energy, gradient = read_out(block.readout, features[0])
        energies += model.scale * energy
        readouts.append(model.scale * gradient)
        states.append(state)
    along = model.scale * radial.repulsion[1]
    gharmonics, gradients = np.zeros_like(harmonics), []
    gfeatures: Array | None = None
    for number in reversed(range(len(model.blocks))):
        block, state = model.blocks[number], states[number]
        if gfeatures is None:
            gfeatures = np.zeros((block.polynomial.outputs, len(elements), model.channels))
        gfeatures[0] += readouts[number]
        inside, gfeatures, gangular = _reverse(model, block, number, edges, radial, state, gfeatures, members, along)
        gradients.append(inside)
        gharmonics += gangular @ block.message.angular.T
    gunit = np.einsum("el,elk->ek", gharmonics, slopes)
    gradient = along[:, None] * unit + across(gunit, unit) / distances[:, None]
    return Evaluation(
        energies=energies,
        gradient=gradient,
        unit=unit,
        distances=distances,
        harmonic_slopes=slopes,
        by_distance=along,
        by_harmonics=gharmonics,
        radial=radial,
        states=tuple(states),
        gradients=tuple(reversed(gradients)),
    )


def sum_over_edges(receiver: Array, sender: Array, by_edge: Array, atoms: int) -> Array:
    """Return the gradient by positions of a function of edge vectors, shape=(atoms, 3)."""
    gradient = np.empty((atoms, 3))
    for k in range(3):
        gradient[:, k] = np.bincount(receiver, by_edge[:, k], atoms) - np.bincount(sender, by_edge[:, k], atoms)
    return gradient


def across(vectors: Array, unit: Array) -> Array:
    """Return the parts of some vectors that are normal to unit vectors."""
    normal: Array = vectors - np.einsum("ek,ek->e", vectors, unit)[:, None] * unit
    return normal


def apply(mixings: tuple[Mixing, ...], x: Array, y: Array, members: Members, *, transpose: bool = False) -> None:
    """Add the linear map of channels of `x` to `y`, or with `transpose` the transposed map of `y` to `x`."""
    for mixing in mixings:
        source, target = (y[mixing.target], x[mixing.source]) if transpose else (x[mixing.source], y[mixing.target])
        if mixing.matrix.ndim == 2:
            matrix = mixing.matrix.T if transpose else mixing.matrix
            target += (source.reshape(-1, source.shape[-1]) @ matrix).reshape(target.shape)
        else:
            for own, matrix in zip(members, mixing.matrix, strict=True):
                target[:, own] += source[:, own] @ (matrix.T if transpose else matrix)


def read_out(readout: Readout, x: Array) -> tuple[Array, Array]:
    """Return each site's energy and its gradient by the scalar features, shape=(atoms, channels)."""
    if readout.inner is None:
        return x @ readout.outer, np.broadcast_to(readout.outer, x.shape)
    hidden = x @ readout.inner
    s = 1.0 / (1.0 + np.exp(-hidden))
    slope = s * (1.0 + hidden * (1.0 - s))
    return (hidden * s) @ readout.outer, (slope * readout.outer) @ readout.inner.T


def _forward(
    model: FoldedModel,
    block: Block,
    number: int,
    edges: Edges,
    harmonics: Array,
    radial: Radial,
    features: Array | None,
    members: Members,
) -> tuple[BlockState, Array]:
    elements, channels = edges.elements, model.channels
    if features is None:
        features = model.embedding[elements][None]
    h = np.zeros((sum(m.target.stop - m.target.start for m in block.up), len(elements), channels))
    apply(block.up, features, h, members)
    table, polynomial = block.message, block.polynomial
    angular = harmonics @ table.angular
    s = np.zeros((table.outputs, len(elements), channels))
    gather(
        edges.start, edges.sender, radial.index, radial.functions[number][0], h, angular,
        table.group_path, table.group_input, table.first, table.output, s,
    )  # fmt: skip
    messages = np.zeros((harmonics.shape[1], len(elements), channels))
    apply(block.mix, s, messages, members)
    products = np.zeros((polynomial.outputs, len(elements), channels))
    contract(
        messages, elements, polynomial.pairs, polynomial.first, polynomial.output, polynomial.last,
        polynomial.coefficients, products,
    )  # fmt: skip
    new = np.zeros_like(products)
    apply(block.out, products, new, members)
    apply(block.skip, features, new, members)
    if block.constant is not None:
        new[0] += block.constant[elements]
    return BlockState(h, angular, messages, new), new


def _reverse(
    model: FoldedModel,
    block: Block,
    number: int,
    edges: Edges,
    radial: Radial,
    state: BlockState,
    gnew: Array,
    members: Members,
    along: Array,
) -> tuple[BlockGradient, Array, Array]:
    """Return the gradients inside the block, by its input and by `angular`; add that by the distances to `along`."""
    table, polynomial = block.message, block.polynomial
    gproducts = np.zeros_like(gnew)
    apply(block.out, gproducts, gnew, members, transpose=True)
    gmessages = np.zeros_like(state.messages)
    contract_reverse(
        state.messages, gproducts, edges.elements, polynomial.pairs, polynomial.first, polynomial.output,
        polynomial.last, polynomial.coefficients, gmessages,
    )  # fmt: skip
    gs = np.zeros((table.outputs, len(edges.elements), model.channels))
    apply(block.mix, gs, gmessages, members, transpose=True)
    gh, gangular = np.zeros_like(state.h), np.empty_like(state.angular)
    value, slope = radial.functions[number][:2]
    gather_reverse(
        edges.start, edges.sender, radial.index, value, slope, state.h, state.angular,
        table.group_path, table.group_input, table.first, table.output, gs, gh, gangular, along,
    )  # fmt: skip
    gfeatures = np.zeros((sum(m.source.stop - m.source.start for m in block.up), *state.h.shape[1:]))
    if number:
        apply(block.skip, gfeatures, gnew, members, transpose=True)
        apply(block.up, gfeatures, gh, members, transpose=True)
    return BlockGradient(gproducts, gs), gfeatures, gangular
