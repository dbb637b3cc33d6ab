"""What a displacement reaches."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .graph import Crystal, repeat_by

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Cluster:
    """Nodes (atoms in certain cells) that a displacement reaches, in the order in which it reaches them.

    Attributes
    ----------
    atom : Tensor, shape=(nodes,), dtype=int64
    cell : Tensor, shape=(nodes, 3), dtype=int64
    forward : tuple of int
        For each block, how many of the first nodes have changed features after it.
    backward : tuple of int
        For each block, how many of the first nodes have changed gradients before it.
    start, edge, sender : Tensor, dtype=int64
        Edges of the first ``max(backward)`` nodes, by receiver: first of each node, its number in the crystal, node
        that sends.
    """

    atom: Tensor
    cell: Tensor
    forward: tuple[int, ...]
    backward: tuple[int, ...]
    start: Tensor
    edge: Tensor
    sender: Tensor


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
    start, sender, offsets = (x.cpu().numpy() for x in (crystal.start, crystal.sender, crystal.offsets))
    # A number for each atom and cell; no cell is further away than all steps together.
    furthest = 2 * blocks * int(np.abs(offsets).max(initial=0)) + 1
    base = (2 * furthest + 1) ** np.array([2, 1, 0]) * (len(start) - 1)

    def number(atom: Array, cell: Array) -> Array:
        found: Array = (cell + furthest) @ base + atom
        return found

    atom, cell = np.array([seed]), np.zeros((1, 3), dtype=np.int64)
    known = number(atom, cell)
    sizes, edges, senders, counts = [1], [], [], []
    done = 0
    # Neighbours are mutual, so that the receivers of a node are its senders.
    for _ in range(2 * blocks):
        count = start[atom[done:] + 1] - start[atom[done:]]
        receiver = np.repeat(np.arange(done, len(atom)), count)
        edge = np.arange(count.sum()) + np.repeat(start[atom[done:]] - np.cumsum(count) + count, count)
        far = cell[receiver] + offsets[edge]
        reached = number(sender[edge], far)
        done = len(atom)
        new, where = np.unique(reached, return_index=True)
        where = where[np.isin(new, known, invert=True)]
        atom, cell = np.concatenate([atom, sender[edge][where]]), np.concatenate([cell, far[where]])
        known = np.concatenate([known, reached[where]])
        sizes.append(len(atom))
        edges.append(edge)
        senders.append(reached)
        counts.append(count)
    order = np.argsort(known)
    place = order[np.searchsorted(known[order], np.concatenate(senders))]

    def on_device(x: Array) -> Tensor:
        return torch.as_tensor(x, dtype=torch.int64, device=crystal.start.device)

    return Cluster(
        atom=on_device(atom),
        cell=on_device(cell),
        forward=tuple(sizes[1 : blocks + 1]),
        backward=tuple(sizes[2 * blocks - 1 : blocks - 1 : -1]),
        start=on_device(np.concatenate([[0], np.cumsum(np.concatenate(counts))])),
        edge=on_device(np.concatenate(edges)),
        sender=on_device(place),
    )


def whole(crystal: Crystal, blocks: int) -> Cluster:
    """Return the cluster of a displacement of all atoms and their images: the cell itself, its edges closing on it."""
    count, edges = len(crystal.elements), len(crystal.sender)
    return Cluster(
        atom=torch.arange(count, device=crystal.start.device),
        cell=torch.zeros((count, 3), dtype=torch.int64, device=crystal.start.device),
        forward=(count,) * blocks,
        backward=(count,) * blocks,
        start=crystal.start,
        edge=torch.arange(edges, device=crystal.start.device),
        sender=crystal.sender,
    )


def side_by_side(cluster: Cluster, copies: int) -> tuple[Cluster, Tensor]:
    """Return copies of a cluster as one, for displacements that know nothing of each other.

    Returns
    -------
    Cluster
        Its nodes are in the order in which they are reached, those of all copies together.
    Tensor, shape=(copies, nodes)
        Where the nodes of each copy are.
    """
    device = cluster.atom.device
    if copies == 1:
        return cluster, torch.arange(len(cluster.atom), device=device)[None]
    bounds = [0, *sorted({*cluster.forward, *cluster.backward, len(cluster.atom)})]
    shells = [torch.arange(low, high, device=device) for low, high in pairwise(bounds)]
    node = torch.cat([shell.repeat(copies) for shell in shells])
    copy = torch.cat([torch.arange(copies, device=device).repeat_interleave(len(shell)) for shell in shells])
    place = torch.empty((copies, len(cluster.atom)), dtype=torch.int64, device=device)
    place[copy, node] = torch.arange(len(node), device=device)
    receivers = node[: copies * (len(cluster.start) - 1)]
    start = torch.nn.functional.pad(cluster.start.diff()[receivers].cumsum(0), (1, 0))
    receiver = repeat_by(start)
    own = torch.arange(len(receiver), device=device) + (cluster.start[receivers] - start[:-1])[receiver]
    joint = Cluster(
        atom=cluster.atom[node],
        cell=cluster.cell[node],
        forward=tuple(copies * count for count in cluster.forward),
        backward=tuple(copies * count for count in cluster.backward),
        start=start,
        edge=cluster.edge[own],
        sender=place[copy[receiver], cluster.sender[own]],
    )
    return joint, place
