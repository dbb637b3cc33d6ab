"""Everything that depends on one distance and two elements, with derivatives by the distance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..backend import jit_without_warning
from .activation import silu
from .tables import FoldedModel

_SAME = 1e-13  # A; distances closer than this have the same radial functions to rounding


@dataclass(frozen=True, slots=True, eq=False)
class Radial:
    """Radial functions of a list of edges.

    Equal distances between the same elements, such as an edge and its reverse, are evaluated once.

    Attributes
    ----------
    index : Tensor, shape=(edges,), dtype=int64
        Row of each edge in `functions`.
    functions : tuple of tuple of Tensor, shape of each=(rows, paths, channels)
        For each block the radial functions and their derivatives by the distance, in ascending order.
    repulsion : tuple of Tensor, shape of each=(edges,), dtype=float64
        Energy (eV) of each edge that belongs to its receiver, and its derivatives.
    """

    index: Tensor
    functions: tuple[tuple[Tensor, ...], ...]
    repulsion: tuple[Tensor, ...]


def evaluate_radial(model: FoldedModel, distances: Tensor, receivers: Tensor, senders: Tensor, order: int) -> Radial:
    """Evaluate radial functions and their derivatives up to an order (1 or 2).

    Parameters
    ----------
    model : FoldedModel
    distances : Tensor, shape=(edges,)
        In A.
    receivers, senders : Tensor, shape=(edges,), dtype=int64
        Elements, as counted by the model.
    order : int
    """
    low, high = torch.minimum(receivers, senders), torch.maximum(receivers, senders)
    bins = 1 + int(model.r_max / _SAME)
    keys = (low * len(model.numbers) + high) * bins + (distances / _SAME).round().long()
    distinct, index = torch.unique(keys, return_inverse=True)
    chosen = torch.empty_like(distinct)
    chosen[index] = torch.arange(len(keys), device=keys.device)
    basis, repulsion = _basis(model, distances[chosen], receivers[chosen], senders[chosen], order)
    basis = [part.to(model.dtype) for part in basis]
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
    model: FoldedModel, distances: Tensor, receivers: Tensor, senders: Tensor, order: int
) -> tuple[list[Tensor], list[Tensor]]:
    """Return mace's own radial basis and pair repulsion with their derivatives by the distance."""
    count, device = len(distances), distances.device
    place = torch.as_tensor([model.all_numbers.index(z) for z in model.numbers], device=device)
    elements = torch.cat([place[senders], place[receivers]])
    onehot = torch.nn.functional.one_hot(elements, len(model.all_numbers)).double()
    edges = torch.stack([torch.arange(count, device=device), count + torch.arange(count, device=device)])
    numbers = torch.as_tensor(model.all_numbers, device=device)

    def basis(x: Tensor) -> Tensor:
        found: Tensor = model.radial_embedding(x, onehot, edges, numbers)[0]
        return found

    def repulsion(x: Tensor) -> Tensor:
        if model.pair_repulsion is None:
            return torch.zeros_like(x)[:, 0]
        found: Tensor = model.pair_repulsion(x, onehot, edges, numbers)[count:]
        return found

    with jit_without_warning(), torch.no_grad():
        return _derivatives(basis, distances[:, None], order), _derivatives(repulsion, distances[:, None], order)


def _derivatives(function: Callable[[Tensor], Tensor], lengths: Tensor, order: int) -> list[Tensor]:
    """Return a function of each length and its derivatives, by differentiating forwards."""
    one = torch.ones_like(lengths)
    if order == 1:
        return list(torch.func.jvp(function, (lengths,), (one,)))

    def slope(x: Tensor) -> Tensor:
        found: Tensor = torch.func.jvp(function, (x,), (one,))[1]
        return found

    return [function(lengths), *torch.func.jvp(slope, (lengths,), (one,))]


def _network(matrices: tuple[Tensor, ...], model: FoldedModel, basis: list[Tensor]) -> list[Tensor]:
    """Apply the radial network to values and derivatives."""
    parts = [part @ matrices[0] for part in basis]
    for matrix in matrices[1:]:
        parts = [(model.activation * part) @ matrix for part in _activate(parts)]
    return parts


def _activate(parts: list[Tensor]) -> list[Tensor]:
    """Apply the activation to values and derivatives."""
    value, slope, *curvature = silu(parts[0], len(parts) - 1)
    out = [value, slope * parts[1]]
    if curvature:
        out.append(slope * parts[2] + curvature[0] * parts[1] ** 2)
    return out
