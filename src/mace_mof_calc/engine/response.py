"""Linear response: the derivative of all forces along a displacement, exact, in a crystal without end.

Displacing one atom changes the messages that reach its neighbours, in the next block those that reach theirs, and so
on; going back, each changed gradient reaches its senders. Everything else keeps the values it has in the unperturbed
crystal, which are those of one unit cell. So only the changes are computed, on the nodes that they reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .evaluate import Edges, Evaluation, across, apply, sum_over_edges
from .kernels import contract_reverse_tangent, contract_tangent, gather_reverse_tangent, gather_tangent
from .tables import FoldedModel, Readout

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Crystal:
    """A neighbour list of a unit cell that knows in which cell each sender is.

    Attributes
    ----------
    edges : Edges
    offsets : ndarray, shape=(edges, 3), dtype=int
        Cell of the sender, the receiver being in cell 0.
    """

    edges: Edges
    offsets: Array


@dataclass(frozen=True, slots=True, eq=False)
class Cluster:
    """Nodes (atoms in certain cells) that a displacement reaches, in the order in which it reaches them.

    Attributes
    ----------
    atom : ndarray, shape=(nodes,), dtype=int
    cell : ndarray, shape=(nodes, 3), dtype=int
    forward : tuple of int
        For each block, how many of the first nodes have changed features after it.
    backward : tuple of int
        For each block, how many of the first nodes have changed gradients before it.
    start, edge, sender : ndarray
        Edges of the first ``max(backward)`` nodes, by receiver: first of each node, its number in the crystal, node
        that sends.
    """

    atom: Array
    cell: Array
    forward: tuple[int, ...]
    backward: tuple[int, ...]
    start: Array
    edge: Array
    sender: Array


def reach(crystal: Crystal, seed: int, blocks: int) -> Cluster:
    """Find what the displacement of an atom reaches.

    Parameters
    ----------
    crystal : Crystal
    seed : int
        The atom, in cell 0.
    blocks : int
        Number of the model's blocks.
    """
    order: dict[tuple[int, int, int, int], int] = {}
    nodes: list[tuple[int, int, int, int]] = []
    start, edge, sender = [0], [], []
    edges, offsets = crystal.edges, crystal.offsets

    def add(node: tuple[int, int, int, int]) -> int:
        if node not in order:
            order[node] = len(nodes)
            nodes.append(node)
        return order[node]

    def complete(count: int) -> None:
        """Add the senders of all edges of the first `count` nodes."""
        for k in range(len(start) - 1, count):
            atom, *cell = nodes[k]
            for e in range(edges.start[atom], edges.start[atom + 1]):
                edge.append(e)
                x, y, z = (int(c + o) for c, o in zip(cell, offsets[e], strict=True))
                sender.append(add((int(edges.sender[e]), x, y, z)))
            start.append(len(edge))

    add((seed, 0, 0, 0))
    # Neighbours are mutual, so that the receivers of a node are its senders.
    sizes = [1]
    for _ in range(2 * blocks):
        complete(sizes[-1])
        sizes.append(len(nodes))
    return Cluster(
        atom=np.array([node[0] for node in nodes]),
        cell=np.array([node[1:] for node in nodes]),
        forward=tuple(sizes[1 : blocks + 1]),
        backward=tuple(sizes[2 * blocks - 1 : blocks - 1 : -1]),
        start=np.array(start),
        edge=np.array(edge),
        sender=np.array(sender),
    )


def respond(model: FoldedModel, crystal: Crystal, state: Evaluation, cluster: Cluster, direction: Array) -> Array:
    """Return the derivative of the energy's gradient by all positions along a displacement of the cluster's seed.

    Parameters
    ----------
    model : FoldedModel
    crystal : Crystal
    state : Evaluation
        Of the crystal, with second derivatives of the radial functions.
    cluster : Cluster
    direction : ndarray, shape=(3,)
        Displacement of node 0, A.

    Returns
    -------
    ndarray, shape=(nodes, 3)
        eV/A^2 times the displacement: force constants where that is a unit vector.
    """
    change = np.zeros((len(cluster.atom), 3))
    change[0] = direction
    return respond_to(model, crystal, state, cluster, change)


def respond_to(model: FoldedModel, crystal: Crystal, state: Evaluation, cluster: Cluster, change: Array) -> Array:
    """Return the derivative of the gradient by all positions along a displacement of any nodes, shape=(nodes, 3)."""
    receiver = np.repeat(np.arange(len(cluster.start) - 1), np.diff(cluster.start))
    dvectors = change[receiver] - change[cluster.sender]
    touched = np.flatnonzero(np.abs(dvectors).max(axis=1) > 0)
    moved = np.full(len(receiver), -1)
    moved[touched] = np.arange(len(touched))
    own = cluster.edge[touched]
    unit, distances = state.unit[own], state.distances[own]
    ddistance = np.einsum("ek,ek->e", dvectors[touched], unit)
    dunit = across(dvectors[touched], unit) / distances[:, None]
    dharmonics = np.einsum("elk,ek->el", state.harmonic_slopes[own], dunit)
    elements = crystal.edges.elements
    members = [np.flatnonzero(elements[cluster.atom] == z) for z in range(len(model.numbers))]

    def first(count: int) -> list[Array]:
        return [m[: np.searchsorted(m, count)] for m in members]

    common = (cluster.start, cluster.edge, cluster.sender, cluster.atom, state.radial.index, moved)
    dfeatures = np.zeros((1, 0, model.channels))
    tangents = []
    for number, block in enumerate(model.blocks):
        inside, count = state.states[number], cluster.forward[number]
        table, polynomial = block.message, block.polynomial
        dh = np.zeros((inside.h.shape[0], dfeatures.shape[1], model.channels))
        if number:
            apply(block.up, dfeatures, dh, first(dfeatures.shape[1]))
        dangular = dharmonics @ table.angular
        ds = np.zeros((table.outputs, count, model.channels))
        value, slope, _ = state.radial.functions[number]
        gather_tangent(
            *common, value, slope, inside.h, dh, inside.angular, dangular, ddistance,
            table.group_path, table.group_input, table.first, table.output, ds,
        )  # fmt: skip
        dmessages = np.zeros((inside.messages.shape[0], count, model.channels))
        apply(block.mix, ds, dmessages, first(count))
        dproducts = np.zeros((polynomial.outputs, count, model.channels))
        contract_tangent(
            inside.messages, cluster.atom, dmessages, elements, polynomial.pairs, polynomial.first,
            polynomial.output, polynomial.last, polynomial.coefficients, dproducts,
        )  # fmt: skip
        dnew = np.zeros_like(dproducts)
        apply(block.out, dproducts, dnew, first(count))
        if number:
            before = dfeatures.shape[1]
            apply(block.skip, dfeatures, dnew[:, :before], first(before))
        dreadout = model.scale * read_out_tangent(block.readout, inside.features[0][cluster.atom[:count]], dnew[0])
        tangents.append((dh, dangular, dmessages, dreadout))
        dfeatures = dnew
    dalong, dby_harmonics = np.zeros(len(receiver)), np.zeros((len(receiver), dharmonics.shape[1]))
    gathered_back: Array | None = None
    for number in reversed(range(len(model.blocks))):
        block, inside, outside = model.blocks[number], state.states[number], state.gradients[number]
        dh, dangular, dmessages, dreadout = tangents[number]
        table, polynomial, count = block.message, block.polynomial, cluster.backward[number]
        dgnew = np.zeros((polynomial.outputs, count, model.channels))
        if gathered_back is not None:
            dgnew += gathered_back[:, :count]
        dgnew[0, : cluster.forward[number]] += dreadout
        dgproducts = np.zeros_like(dgnew)
        apply(block.out, dgproducts, dgnew, first(count), transpose=True)
        dgmessages = np.zeros((inside.messages.shape[0], count, model.channels))
        contract_reverse_tangent(
            inside.messages, outside.products, cluster.atom, dmessages, dgproducts, elements, polynomial.pairs,
            polynomial.first, polynomial.output, polynomial.last, polynomial.coefficients, dgmessages,
        )  # fmt: skip
        dgs = np.zeros((table.outputs, count, model.channels))
        apply(block.mix, dgs, dgmessages, first(count), transpose=True)
        reached = cluster.backward[number - 1] if number else len(cluster.atom)
        dgh = np.zeros((inside.h.shape[0], reached, model.channels))
        dgangular = np.zeros((cluster.start[count], table.angular.shape[1]))
        value, slope, curvature = state.radial.functions[number]
        gather_reverse_tangent(
            *common, value, slope, curvature, inside.h, dh, inside.angular, dangular, ddistance,
            table.group_path, table.group_input, table.first, table.output, outside.gathered, dgs,
            dgh, dgangular, dalong,
        )  # fmt: skip
        dby_harmonics[: len(dgangular)] += dgangular @ table.angular.T
        if number:
            gathered_back = np.zeros((model.blocks[number - 1].polynomial.outputs, reached, model.channels))
            apply(block.skip, gathered_back[:, :count], dgnew, first(count), transpose=True)
            apply(block.up, gathered_back, dgh, first(reached), transpose=True)
    dalong[touched] += model.scale * state.radial.repulsion[2][own] * ddistance
    dgradient = _edge_tangent(model, state, cluster, touched, dalong, dby_harmonics, ddistance, dunit)
    return sum_over_edges(receiver, cluster.sender, dgradient, len(cluster.atom))


def _edge_tangent(
    model: FoldedModel,
    state: Evaluation,
    cluster: Cluster,
    touched: Array,
    dalong: Array,
    dby_harmonics: Array,
    ddistance: Array,
    dunit: Array,
) -> Array:
    """Return the derivative of the gradient by each edge vector, shape=(edges, 3)."""
    unit, distances = state.unit[cluster.edge], state.distances[cluster.edge]
    dgunit = np.einsum("el,elk->ek", dby_harmonics, state.harmonic_slopes[cluster.edge])
    own = cluster.edge[touched]
    gunit = np.einsum("el,elk->ek", state.by_harmonics[own], state.harmonic_slopes[own])
    dgunit[touched] += np.einsum("ekm,em->ek", model.harmonics.curvature(unit[touched], state.by_harmonics[own]), dunit)
    out = dalong[:, None] * unit + across(dgunit, unit) / distances[:, None]
    # The direction of the edge turns, and with it what is normal to it.
    inner, turned = (np.einsum("ek,ek->e", gunit, v)[:, None] for v in (unit[touched], dunit))
    normal = gunit - inner * unit[touched]
    out[touched] += state.by_distance[own][:, None] * dunit
    out[touched] -= (turned * unit[touched] + inner * dunit) / distances[touched][:, None]
    out[touched] -= normal * (ddistance / distances[touched] ** 2)[:, None]
    return out


def read_out_tangent(readout: Readout, x: Array, dx: Array) -> Array:
    """Return the derivative along `dx` of the readout's gradient, shape=(atoms, channels)."""
    if readout.inner is None:
        return np.zeros_like(dx)
    hidden = x @ readout.inner
    s = 1.0 / (1.0 + np.exp(-hidden))
    curvature = s * (1.0 - s) * (2.0 + hidden * (1.0 - 2.0 * s))
    response: Array = (curvature * (dx @ readout.inner) * readout.outer) @ readout.inner.T
    return response
