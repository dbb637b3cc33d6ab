"""Energy and its derivatives by all edge vectors, written out by hand: no tape, no one-hot vectors, no padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from .activation import silu
from .graph import Crystal
from .kernels import Kernels, Links
from .radial import Radial, evaluate_radial
from .tables import Block, FoldedModel, Mixing, Readout

Members = Sequence[slice | Tensor]
"""Where the atoms of each element are."""


@dataclass(frozen=True, slots=True, eq=False)
class BlockState:
    """What a block leaves for its derivatives.

    Attributes
    ----------
    h, messages, features : Tensor, shape=(components, atoms, channels)
        What its senders send, what its polynomial takes, what comes out.
    angular : Tensor, shape=(edges, entries)
        Angular factors, in the precision of the channels.
    """

    h: Tensor
    angular: Tensor
    messages: Tensor
    features: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class BlockGradient:
    """Derivatives of the total energy by quantities inside a block.

    Attributes
    ----------
    products : Tensor, shape=(components, atoms, channels)
        By what its polynomial gives.
    gathered : Tensor, shape=(components, atoms, channels)
        By the sums over neighbours.
    """

    products: Tensor
    gathered: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Energies of the sites and the gradient by the edge vectors.

    Attributes
    ----------
    energies : Tensor, shape=(atoms,)
        eV.
    gradient : Tensor, shape=(edges, 3)
        Derivative of the total energy by each edge vector, eV/A.
    unit, distances, harmonic_slopes : Tensor
        Geometry of the edges: ``(edges, 3)``, A ``(edges,)``, and ``(edges, harmonics, 3)``.
    by_distance : Tensor, shape=(edges,)
        Derivative of the energy by each distance alone, eV/A.
    by_harmonics : Tensor, shape=(edges, harmonics)
        Derivative of the energy by each spherical harmonic, eV.
    radial : Radial
    states : tuple of BlockState
    gradients : tuple of BlockGradient
    """

    energies: Tensor
    gradient: Tensor
    unit: Tensor
    distances: Tensor
    harmonic_slopes: Tensor
    by_distance: Tensor
    by_harmonics: Tensor
    radial: Radial
    states: tuple[BlockState, ...]
    gradients: tuple[BlockGradient, ...]


def evaluate(model: FoldedModel, crystal: Crystal, kernels: Kernels, *, order: int = 1) -> Evaluation:
    """Evaluate a folded model on a neighbour list.

    Parameters
    ----------
    model : FoldedModel
    crystal : Crystal
    kernels : Kernels
    order : int, optional
        Order of the derivatives of the radial functions that are kept; `response` needs 2.
    """
    receiver, elements = crystal.receiver, crystal.elements
    distances = torch.linalg.vector_norm(crystal.vectors, dim=1)
    unit = crystal.vectors / distances[:, None]
    harmonics, slopes = model.harmonics.evaluate(unit)
    radial = evaluate_radial(model, distances, elements[receiver], elements[crystal.sender], order)
    links = Links(crystal.start, crystal.sender, radial.index)
    bounds = torch.searchsorted(elements, torch.arange(len(model.numbers) + 1, device=elements.device)).tolist()
    members: Members = [slice(low, high) for low, high in pairwise(bounds)]
    energies = model.energies[elements].index_add(0, receiver, model.scale * radial.repulsion[0])
    features = None
    states, readouts = [], []
    for number, block in enumerate(model.blocks):
        functions = radial.functions[number]
        state = _forward(model, block, kernels, elements, links, harmonics, functions[0], features, members)
        features = state.features
        energy, gradient = read_out(block.readout, features[0])
        energies += model.scale * energy
        readouts.append(model.scale * gradient)
        states.append(state)
    along = model.scale * radial.repulsion[1]
    gharmonics, gradients = torch.zeros_like(harmonics), []
    gfeatures = None
    for number in reversed(range(len(model.blocks))):
        block, state, functions = model.blocks[number], states[number], radial.functions[number]
        if gfeatures is None:
            gfeatures = state.features.new_zeros((block.polynomial.outputs, *state.features.shape[1:]))
        gfeatures[0] += readouts[number]
        back = _reverse(block, kernels, elements, links, functions, state, gfeatures, members, first=number == 0)
        gradients.append(back.inside)
        gfeatures = back.features
        gharmonics += back.angular @ block.message.angular.T
        along += back.along
    gunit = torch.einsum("el,elk->ek", gharmonics, slopes)
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


def sum_over_edges(receiver: Tensor, sender: Tensor, by_edge: Tensor, atoms: int) -> Tensor:
    """Return the gradient by positions of a function of edge vectors, shape=(atoms, 3)."""
    return by_edge.new_zeros((atoms, 3)).index_add_(0, receiver, by_edge).index_add_(0, sender, by_edge, alpha=-1)


def across(vectors: Tensor, unit: Tensor) -> Tensor:
    """Return the parts of some vectors that are normal to unit vectors."""
    return vectors - (vectors * unit).sum(1, keepdim=True) * unit


def apply(mixings: tuple[Mixing, ...], x: Tensor, y: Tensor, members: Members, *, transpose: bool = False) -> None:
    """Add the linear map of channels of `x` to `y`, or with `transpose` the transposed map of `y` to `x`."""
    for mixing in mixings:
        source, target = (y[mixing.target], x[mixing.source]) if transpose else (x[mixing.source], y[mixing.target])
        if mixing.matrix.ndim == 2:
            target += source @ (mixing.matrix.T if transpose else mixing.matrix)
        else:
            for own, matrix in zip(members, mixing.matrix, strict=True):
                target[:, own] += source[:, own] @ (matrix.T if transpose else matrix)


def read_out(readout: Readout, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return each site's energy and its gradient by the scalar features, shape=(atoms, channels)."""
    if readout.inner is None:
        return x @ readout.outer, readout.outer.expand(x.shape)
    hidden = x @ readout.inner
    value, slope = silu(hidden, 1)
    return value @ readout.outer, (slope * readout.outer) @ readout.inner.T


def _forward(
    model: FoldedModel,
    block: Block,
    kernels: Kernels,
    elements: Tensor,
    links: Links,
    harmonics: Tensor,
    radial: Tensor,
    features: Tensor | None,
    members: Members,
) -> BlockState:
    if features is None:
        features = model.embedding[elements][None]
    shape = (len(elements), model.channels)
    h = features.new_zeros((sum(m.target.stop - m.target.start for m in block.up), *shape))
    apply(block.up, features, h, members)
    angular = (harmonics @ block.message.angular).to(model.dtype)
    s = kernels.gather(block.message, links, radial, h, angular)
    messages = h.new_zeros((block.polynomial.components, *shape))
    apply(block.mix, s, messages, members)
    products = kernels.contract(block.polynomial, elements, messages)
    new = torch.zeros_like(products)
    apply(block.out, products, new, members)
    apply(block.skip, features, new, members)
    if block.constant is not None:
        new[0] += block.constant[elements]
    return BlockState(h, angular, messages, new)


@dataclass(frozen=True, slots=True, eq=False)
class _Back:
    """Gradients inside a block, by its input, by its angular factors, and by the distances."""

    inside: BlockGradient
    features: Tensor | None
    angular: Tensor
    along: Tensor


def _reverse(
    block: Block,
    kernels: Kernels,
    elements: Tensor,
    links: Links,
    radial: tuple[Tensor, ...],
    state: BlockState,
    gnew: Tensor,
    members: Members,
    *,
    first: bool,
) -> _Back:
    gproducts = torch.zeros_like(gnew)
    apply(block.out, gproducts, gnew, members, transpose=True)
    gmessages = kernels.contract_reverse(block.polynomial, elements, state.messages, gproducts)
    gs = gnew.new_zeros((block.message.outputs, *gnew.shape[1:]))
    apply(block.mix, gs, gmessages, members, transpose=True)
    gh, gangular, along = kernels.gather_reverse(block.message, links, radial, state.h, state.angular, gs)
    if first:
        return _Back(BlockGradient(gproducts, gs), None, gangular, along)
    gfeatures = gnew.new_zeros((sum(m.source.stop - m.source.start for m in block.up), *gnew.shape[1:]))
    apply(block.skip, gfeatures, gnew, members, transpose=True)
    apply(block.up, gfeatures, gh, members, transpose=True)
    return _Back(BlockGradient(gproducts, gs), gfeatures, gangular, along)
