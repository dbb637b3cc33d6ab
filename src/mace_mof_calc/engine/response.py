"""Linear response: the derivative of all forces along a displacement, exact, in a crystal without end.

Displacing one atom changes the messages that reach its neighbours, in the next block those that reach theirs, and so
on; going back, each changed gradient reaches its senders. Everything else keeps the values it has in the unperturbed
crystal, which are those of one unit cell. So only the changes are computed, on the nodes that they reach.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .activation import silu
from .cluster import Cluster
from .evaluate import Evaluation, across, apply, sum_over_edges
from .graph import Crystal, repeat_by
from .kernels import Changing, ClusterLinks, Kernels
from .tables import FoldedModel, Readout


@dataclass(frozen=True, slots=True, eq=False)
class _Moved:
    """What a displacement does to the edges themselves.

    Attributes
    ----------
    edge : Tensor, shape=(moved,), dtype=int64
        The edges of the cluster that change.
    own : Tensor, shape=(moved,), dtype=int64
        Their numbers in the crystal.
    row : Tensor, shape=(edges,), dtype=int64
        Row of each edge of the cluster in these lists, or -1.
    distance : Tensor, shape=(moved,)
        Change of the distance, A.
    unit : Tensor, shape=(moved, 3)
        Change of the unit vector.
    harmonics : Tensor, shape=(moved, harmonics)
        Change of the spherical harmonics.
    """

    edge: Tensor
    own: Tensor
    row: Tensor
    distance: Tensor
    unit: Tensor
    harmonics: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class _Tangent:
    """What a block's way forward leaves for its way back.

    Attributes
    ----------
    gathered : Changing
        What entered its sums over neighbours.
    messages, readout : Tensor
        Changes of what its polynomial takes, and of the readout's gradient.
    """

    gathered: Changing
    messages: Tensor
    readout: Tensor


def respond(
    model: FoldedModel, crystal: Crystal, state: Evaluation, cluster: Cluster, kernels: Kernels, change: Tensor
) -> Tensor:
    """Return the derivative of the energy's gradient by all positions along a displacement.

    Parameters
    ----------
    model : FoldedModel
    crystal : Crystal
    state : Evaluation
        Of the crystal, with second derivatives of the radial functions.
    cluster : Cluster
        What the displacement reaches.
    kernels : Kernels
    change : Tensor, shape=(nodes, 3)
        Displacement of the nodes, A.

    Returns
    -------
    Tensor, shape=(nodes, 3)
        Product of the Hessian (eV/A^2) with the displacement, eV/A.
    """
    moved = _move(state, cluster, change)
    links = ClusterLinks(cluster.start, cluster.sender, cluster.edge, cluster.atom, state.radial.index, moved.row)
    members = _Members(crystal.elements[cluster.atom], len(model.numbers))
    tangents = _forward(model, crystal, state, cluster, kernels, links, moved, members)
    dalong, dby_harmonics = _backward(model, crystal, state, cluster, kernels, links, moved, members, tangents)
    dalong[moved.edge] += model.scale * state.radial.repulsion[2][moved.own] * moved.distance
    dgradient = _edge_tangent(model, state, cluster, moved, dalong, dby_harmonics)
    return sum_over_edges(repeat_by(cluster.start), cluster.sender, dgradient, len(cluster.atom))


class _Members:
    """Where the nodes of each element are among the first so many."""

    def __init__(self, elements: Tensor, count: int) -> None:
        self._members = [torch.nonzero(elements == z)[:, 0] for z in range(count)]

    def first(self, count: int) -> list[Tensor]:
        return [own[: int(torch.searchsorted(own, count))] for own in self._members]


def _move(state: Evaluation, cluster: Cluster, change: Tensor) -> _Moved:
    dvectors = change[repeat_by(cluster.start)] - change[cluster.sender]
    edge = torch.nonzero(dvectors.abs().amax(1) > 0)[:, 0]
    row = torch.full_like(cluster.edge, -1)
    row[edge] = torch.arange(len(edge), device=edge.device)
    own, dvectors = cluster.edge[edge], dvectors[edge]
    unit = across(dvectors, state.unit[own]) / state.distances[own][:, None]
    return _Moved(
        edge=edge,
        own=own,
        row=row,
        distance=(dvectors * state.unit[own]).sum(1),
        unit=unit,
        harmonics=torch.einsum("elk,ek->el", state.harmonic_slopes[own], unit),
    )


def _forward(
    model: FoldedModel,
    crystal: Crystal,
    state: Evaluation,
    cluster: Cluster,
    kernels: Kernels,
    links: ClusterLinks,
    moved: _Moved,
    members: _Members,
) -> list[_Tangent]:
    """Carry the changes through the blocks, each to the nodes that it reaches."""
    dfeatures = model.embedding.new_zeros((1, 0, model.channels))
    ddistance = moved.distance.to(model.dtype)
    tangents = []
    for number, block in enumerate(model.blocks):
        inside, count, before = state.states[number], cluster.forward[number], dfeatures.shape[1]
        dh = dfeatures.new_zeros((inside.h.shape[0], before, model.channels))
        if number:
            apply(block.up, dfeatures, dh, members.first(before))
        dangular = (moved.harmonics @ block.message.angular).to(model.dtype)
        functions = state.radial.functions[number]
        changing = Changing(functions, inside.h, dh, inside.angular, dangular, ddistance)
        ds = kernels.gather_tangent(block.message, links, count, changing)
        dmessages = ds.new_zeros((block.polynomial.components, count, model.channels))
        apply(block.mix, ds, dmessages, members.first(count))
        dproducts = kernels.contract_tangent(
            block.polynomial, crystal.elements, cluster.atom, inside.messages, dmessages
        )
        dnew = torch.zeros_like(dproducts)
        apply(block.out, dproducts, dnew, members.first(count))
        if number:
            apply(block.skip, dfeatures, dnew[:, :before], members.first(before))
        dreadout = _read_out_tangent(block.readout, inside.features[0][cluster.atom[:count]], dnew[0])
        tangents.append(_Tangent(changing, dmessages, model.scale * dreadout))
        dfeatures = dnew
    return tangents


def _backward(
    model: FoldedModel,
    crystal: Crystal,
    state: Evaluation,
    cluster: Cluster,
    kernels: Kernels,
    links: ClusterLinks,
    moved: _Moved,
    members: _Members,
    tangents: list[_Tangent],
) -> tuple[Tensor, Tensor]:
    """Carry the changes of the gradients back; return those by the distances and by the harmonics of all edges."""
    dalong = moved.distance.new_zeros(len(cluster.edge))
    dby_harmonics = dalong.new_zeros((len(cluster.edge), moved.harmonics.shape[1]))
    dfeatures: Tensor | None = None
    for number in reversed(range(len(model.blocks))):
        block, inside, outside = model.blocks[number], state.states[number], state.gradients[number]
        tangent, count = tangents[number], cluster.backward[number]
        dgnew = tangent.readout.new_zeros((block.polynomial.outputs, count, model.channels))
        if dfeatures is not None:
            dgnew += dfeatures[:, :count]
        dgnew[0, : cluster.forward[number]] += tangent.readout
        dgproducts = torch.zeros_like(dgnew)
        apply(block.out, dgproducts, dgnew, members.first(count), transpose=True)
        dgmessages = kernels.contract_reverse_tangent(
            block.polynomial,
            crystal.elements,
            cluster.atom,
            inside.messages,
            outside.products,
            tangent.messages,
            dgproducts,
        )
        dgs = dgnew.new_zeros((block.message.outputs, count, model.channels))
        apply(block.mix, dgs, dgmessages, members.first(count), transpose=True)
        reached = cluster.backward[number - 1] if number else len(cluster.atom)
        dgh, dgangular, dgdistance = kernels.gather_reverse_tangent(
            block.message, links, reached, tangent.gathered, outside.gathered, dgs
        )
        dby_harmonics[: len(dgangular)] += dgangular @ block.message.angular.T
        dalong[: len(dgdistance)] += dgdistance
        if number:
            dfeatures = dgnew.new_zeros((model.blocks[number - 1].polynomial.outputs, reached, model.channels))
            apply(block.skip, dfeatures[:, :count], dgnew, members.first(count), transpose=True)
            apply(block.up, dfeatures, dgh, members.first(reached), transpose=True)
    return dalong, dby_harmonics


def _edge_tangent(
    model: FoldedModel, state: Evaluation, cluster: Cluster, moved: _Moved, dalong: Tensor, dby_harmonics: Tensor
) -> Tensor:
    """Return the derivative of the gradient by each edge vector, shape=(edges, 3)."""
    unit, distances = state.unit[cluster.edge], state.distances[cluster.edge]
    dgunit = torch.einsum("el,elk->ek", dby_harmonics, state.harmonic_slopes[cluster.edge])
    edge, own = moved.edge, moved.own
    gunit = torch.einsum("el,elk->ek", state.by_harmonics[own], state.harmonic_slopes[own])
    curvature = model.harmonics.curvature(unit[edge], state.by_harmonics[own])
    dgunit[edge] += torch.einsum("ekm,em->ek", curvature, moved.unit)
    out = dalong[:, None] * unit + across(dgunit, unit) / distances[:, None]
    # The direction of the edge turns, and with it what is normal to it.
    inner, turned = ((gunit * v).sum(1, keepdim=True) for v in (unit[edge], moved.unit))
    normal = gunit - inner * unit[edge]
    out[edge] += state.by_distance[own][:, None] * moved.unit
    out[edge] -= (turned * unit[edge] + inner * moved.unit) / distances[edge][:, None]
    out[edge] -= normal * (moved.distance / distances[edge] ** 2)[:, None]
    return out


def _read_out_tangent(readout: Readout, x: Tensor, dx: Tensor) -> Tensor:
    """Return the derivative along `dx` of the readout's gradient, shape=(atoms, channels)."""
    if readout.inner is None:
        return torch.zeros_like(dx)
    hidden = x @ readout.inner
    curvature = silu(hidden, 2)[2]
    return (curvature * (dx @ readout.inner) * readout.outer) @ readout.inner.T
