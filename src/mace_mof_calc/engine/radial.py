"""Everything that depends on one distance and two elements, with derivatives by the distance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backend import jit_without_warning
from .tables import FoldedModel

if TYPE_CHECKING:
    import torch

Array = np.ndarray[Any, Any]

_SAME = 1e-13  # A; distances closer than this have the same radial functions to rounding


@dataclass(frozen=True, slots=True, eq=False)
class Radial:
    """Radial functions of a list of edges.

    Equal distances between the same elements, such as an edge and its reverse, are evaluated once.

    Attributes
    ----------
    index : ndarray, shape=(edges,), dtype=int
        Row of each edge in `functions`.
    functions : tuple of tuple of ndarray, shape of each=(rows, paths, channels)
        For each block the radial functions and their derivatives by the distance, in ascending order.
    repulsion : tuple of ndarray, shape of each=(edges,)
        Energy (eV) of each edge that belongs to its receiver, and its derivatives.
    """

    index: Array
    functions: tuple[tuple[Array, ...], ...]
    repulsion: tuple[Array, ...]


def evaluate_radial(model: FoldedModel, distances: Array, receivers: Array, senders: Array, order: int) -> Radial:
    """Evaluate radial functions and their derivatives up to an order (1 or 2).

    Parameters
    ----------
    model : FoldedModel
    distances : ndarray, shape=(edges,)
        In A.
    receivers, senders : ndarray, shape=(edges,), dtype=int
        Elements, as counted by the model.
    order : int
    """
    keys = np.stack(
        [np.minimum(receivers, senders), np.maximum(receivers, senders), np.round(distances / _SAME).astype(np.int64)]
    )
    _, chosen, index = np.unique(keys, axis=1, return_index=True, return_inverse=True)
    index = index.ravel()
    basis, repulsion = _basis(model, distances[chosen], receivers[chosen], senders[chosen], order)
    return Radial(
        index=index,
        functions=tuple(
            tuple(
                part.reshape(len(chosen), block.message.paths, model.channels)
                for part in _network(block.radial, model, basis)
            )
            for block in model.blocks
        ),
        repulsion=tuple(part[index] for part in repulsion),
    )


def _basis(
    model: FoldedModel, distances: Array, receivers: Array, senders: Array, order: int
) -> tuple[list[Array], list[Array]]:
    """Return mace's own radial basis and pair repulsion with their derivatives by the distance."""
    import torch

    count = len(distances)
    place = torch.as_tensor([model.all_numbers.index(z) for z in model.numbers])
    elements = torch.cat([place[torch.as_tensor(senders)], place[torch.as_tensor(receivers)]])
    onehot = torch.nn.functional.one_hot(elements, len(model.all_numbers)).double()
    edges = torch.stack([torch.arange(count), count + torch.arange(count)])
    numbers = torch.as_tensor(model.all_numbers)
    lengths = torch.as_tensor(distances)[:, None]

    def basis(x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = model.radial_embedding(x, onehot, edges, numbers)[0]
        return found

    def repulsion(x: torch.Tensor) -> torch.Tensor:
        if model.pair_repulsion is None:
            return torch.zeros_like(x)[:, 0]
        found: torch.Tensor = model.pair_repulsion(x, onehot, edges, numbers)[count:]
        return found

    with jit_without_warning():
        return _derivatives(basis, lengths, order), _derivatives(repulsion, lengths, order)


def _derivatives(function: Callable[[torch.Tensor], torch.Tensor], lengths: torch.Tensor, order: int) -> list[Array]:
    """Return a function of each length and its derivatives, by differentiating forwards."""
    import torch

    one = torch.ones_like(lengths)
    if order == 1:
        return [part.detach().numpy() for part in torch.func.jvp(function, (lengths,), (one,))]

    def slope(x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = torch.func.jvp(function, (x,), (one,))[1]
        return found

    parts = (function(lengths), *torch.func.jvp(slope, (lengths,), (one,)))
    return [part.detach().numpy() for part in parts]


def _network(matrices: tuple[Array, ...], model: FoldedModel, basis: list[Array]) -> list[Array]:
    """Apply the radial network to values and derivatives."""
    parts = [part @ matrices[0] for part in basis]
    for matrix in matrices[1:]:
        parts = [(model.activation * part) @ matrix for part in _silu(parts)]
    return parts


def _silu(parts: list[Array]) -> list[Array]:
    x = parts[0]
    s = 1.0 / (1.0 + np.exp(-x))
    slope = s * (1.0 + x * (1.0 - s))
    out = [x * s, slope * parts[1]]
    if len(parts) > 2:
        curvature = s * (1.0 - s) * (2.0 + x * (1.0 - 2.0 * s))
        out.append(slope * parts[2] + curvature * parts[1] ** 2)
    return out
