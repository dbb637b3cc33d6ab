"""The kernels as operations of PyTorch: on any device, and without a compiler.

Derivatives along a displacement are those that PyTorch takes of the same operations, forwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from .graph import repeat_by
from .kernels import Changing, ClusterLinks, Links
from .tables import Message, Polynomial

_CACHED = 100_000_000
"""Bytes that are worked on at a time on a CPU, so that they stay near its caches."""

_COPIES = 8
"""Arrays that are alive at once, each as large as the radial functions of the edges, or the monomials of the atoms."""


class Operations:
    """The kernels that `Kernels` describes, on any device.

    Parameters
    ----------
    memory : int, optional
        Bytes that intermediate results may take. Default: on a CPU little, on a GPU an eighth of what it has.
    """

    def __init__(self, memory: int | None = None) -> None:
        self._memory = memory
        self._dense: WeakKeyDictionary[Polynomial, list[Tensor]] = WeakKeyDictionary()
        self._incidence: WeakKeyDictionary[Polynomial, Tensor] = WeakKeyDictionary()

    def contract(self, table: Polynomial, elements: Tensor, x: Tensor) -> Tensor:
        """Return the polynomial of each atom's `x`."""
        y = x.new_empty((table.outputs, *x.shape[1:]))
        for z, own in self._members(table, elements):
            y[:, own] = self._value(table, z, x[:, own])
        return y

    def contract_reverse(self, table: Polynomial, elements: Tensor, x: Tensor, gy: Tensor) -> Tensor:
        """Return the gradient by `x`."""
        gx = torch.empty_like(x)
        for z, own in self._members(table, elements):
            gx[:, own] = self._gradient(table, z, x[:, own], gy[:, own])
        return gx

    def contract_tangent(self, table: Polynomial, elements: Tensor, atom: Tensor, x: Tensor, dx: Tensor) -> Tensor:
        """Return the derivative of the polynomial of nodes."""
        dy = dx.new_empty((table.outputs, *dx.shape[1:]))
        nodes = atom[: dx.shape[1]]
        for z, own in self._members(table, elements[nodes]):

            def value(v: Tensor, z: int = z) -> Tensor:
                return self._value(table, z, v)

            dy[:, own] = torch.func.jvp(value, (x[:, nodes[own]],), (dx[:, own],))[1]
        return dy

    def contract_reverse_tangent(
        self, table: Polynomial, elements: Tensor, atom: Tensor, x: Tensor, gy: Tensor, dx: Tensor, dgy: Tensor
    ) -> Tensor:
        """Return the derivative of the gradient by `x`."""
        count = dgy.shape[1]
        nodes, dx = atom[:count], _lengthened(dx, count)
        dgx = dgy.new_empty((x.shape[0], *dgy.shape[1:]))
        for z, own in self._members(table, elements[nodes]):

            def gradient(v: Tensor, gv: Tensor, z: int = z) -> Tensor:
                return self._gradient(table, z, v, gv)

            primal = x[:, nodes[own]], gy[:, nodes[own]]
            dgx[:, own] = torch.func.jvp(gradient, primal, (dx[:, own], dgy[:, own]))[1]
        return dgx

    def gather(self, table: Message, links: Links, radial: Tensor, h: Tensor, angular: Tensor) -> Tensor:
        """Return the sums over neighbours."""
        s, groups = h.new_zeros((table.outputs, *h.shape[1:])), _groups(table)
        for atoms, edges in self._chunks(links.start, radial):
            place = _Places(links.start, atoms)
            sent = h[:, links.sender[edges]]
            s[:, atoms] = _sum(table, groups, place, radial[links.row[edges]], sent, angular[edges])
        return s

    def gather_reverse(
        self, table: Message, links: Links, radial: tuple[Tensor, ...], h: Tensor, angular: Tensor, gs: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients by `h`, by `angular` and by the distances."""
        gh, gangular = torch.zeros_like(h), torch.empty_like(angular, dtype=torch.float64)
        along, groups = gangular.new_empty(len(angular)), _groups(table)
        for atoms, edges in self._chunks(links.start, radial[0]):
            place, sender, row = _Places(links.start, atoms), links.sender[edges], links.row[edges]
            gsent, gangular[edges], along[edges] = _sum_reverse(
                table, groups, place, radial[0][row], radial[1][row], h[:, sender], angular[edges], gs[:, atoms]
            )
            gh.index_add_(1, sender, gsent)
        return gh, gangular, along

    def gather_tangent(self, table: Message, links: ClusterLinks, count: int, changing: Changing) -> Tensor:
        """Return the derivative of the sums of the first `count` nodes."""
        ds, groups = changing.h.new_zeros((table.outputs, count, changing.h.shape[2])), _groups(table)
        for atoms, edges in self._chunks(links.start[: count + 1], changing.radial[0]):
            place = _Places(links.start, atoms)
            primal, tangent = _along_edges(links, edges, changing)

            def total(r: Tensor, sent: Tensor, m: Tensor, place: _Places = place) -> Tensor:
                return _sum(table, groups, place, r, sent, m)

            chosen = (0, 2, 3)
            ds[:, atoms] = torch.func.jvp(total, tuple(primal[k] for k in chosen), tuple(tangent[k] for k in chosen))[1]
        return ds

    def gather_reverse_tangent(
        self, table: Message, links: ClusterLinks, reached: int, changing: Changing, gs: Tensor, dgs: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the derivatives of the gradients."""
        start, h, angular = links.start[: dgs.shape[1] + 1], changing.h, changing.angular
        dgh = h.new_zeros((h.shape[0], reached, h.shape[2]))
        dgangular = angular.new_empty((int(start[-1]), angular.shape[1]), dtype=torch.float64)
        dalong, groups = dgangular.new_empty(len(dgangular)), _groups(table)
        for atoms, edges in self._chunks(start, changing.radial[0]):
            place = _Places(links.start, atoms)
            primal, tangent = _along_edges(links, edges, changing)

            def gradients(
                r: Tensor, slope: Tensor, sent: Tensor, m: Tensor, g: Tensor, place: _Places = place
            ) -> tuple[Tensor, Tensor, Tensor]:
                return _sum_reverse(table, groups, place, r, slope, sent, m, g)

            changes = torch.func.jvp(gradients, (*primal, gs[:, links.atom[atoms]]), (*tangent, dgs[:, atoms]))[1]
            dgsent, dgangular[edges], dalong[edges] = changes
            dgh.index_add_(1, links.sender[edges], dgsent)
        return dgh, dgangular, dalong

    def _value(self, table: Polynomial, z: int, x: Tensor) -> Tensor:
        """Return the polynomial of atoms of one element."""
        factors, monomials = _monomials(table, x)
        terms = _by_output(table, monomials @ self._matrix(table, z))
        return torch.einsum("cnof,cnf->ocn", terms, factors[..., :-1]).transpose(1, 2)

    def _gradient(self, table: Polynomial, z: int, x: Tensor, gy: Tensor) -> Tensor:
        factors, monomials = _monomials(table, x)
        matrix, g = self._matrix(table, z), gy.permute(2, 1, 0)
        by_last = torch.einsum("cnof,cno->cnf", _by_output(table, monomials @ matrix), g)
        products = (g[..., None] * factors[:, :, None, :-1]).flatten(2)
        by_monomial = products @ matrix.transpose(1, 2)
        a, b = table.pairs[:, 0], table.pairs[:, 1]
        incidence = self._factors(table)
        by_factor = (by_monomial * factors[..., b]) @ incidence[0] + (by_monomial * factors[..., a]) @ incidence[1]
        return (by_last + by_factor).permute(2, 1, 0)

    def _matrix(self, table: Polynomial, z: int) -> Tensor:
        """Return the coefficients of one element as matrices, shape=(channels, pairs, outputs * components)."""
        if table not in self._dense:
            pair = repeat_by(table.first)
            each = table.coefficients
            shape = (each.shape[0], each.shape[2], len(table.pairs), table.outputs * table.components)
            whole = each.new_zeros(shape)
            whole[:, :, pair, table.output * table.components + table.last] = each.transpose(1, 2)
            self._dense[table] = list(whole)
        return self._dense[table][z]

    def _factors(self, table: Polynomial) -> Tensor:
        """Return which component each pair's first and second factor is, shape=(2, pairs, components)."""
        if table not in self._incidence:
            which = table.pairs.T[..., None] == torch.arange(table.components, device=table.pairs.device)
            self._incidence[table] = which.to(table.coefficients.dtype)
        return self._incidence[table]

    def _members(self, table: Polynomial, elements: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Yield atoms of one element, as many as there is memory for."""
        width = len(table.pairs) + table.outputs * table.components
        size = self._capacity(table.coefficients) // (width * table.coefficients.shape[2])
        for z in sorted(set(elements.tolist())):
            for own in torch.split(torch.nonzero(elements == z)[:, 0], max(1, size)):
                yield z, own

    def _chunks(self, start: Tensor, radial: Tensor) -> Iterator[tuple[slice, slice]]:
        """Yield receivers, and their edges, as many as there is memory for."""
        bounds, size = start.tolist(), self._capacity(radial) // radial.shape[1:].numel()
        for low, high in pairwise(_cuts(start.diff().tolist(), size)):
            if bounds[low] < bounds[high]:
                yield slice(low, high), slice(bounds[low], bounds[high])

    def _capacity(self, like: Tensor) -> int:
        """Return how many numbers each of the arrays that are alive at once may have."""
        memory = self._memory
        if memory is None:
            on_gpu = like.device.type == "cuda"
            memory = torch.cuda.get_device_properties(like.device).total_memory // 8 if on_gpu else _CACHED
        return memory // (_COPIES * like.element_size())


def _cuts(degrees: Sequence[int], size: int) -> list[int]:
    """Cut receivers into runs whose tables, a row for each as long as the longest of them, have at most `size` places.

    A receiver that needs more has a run of its own.
    """
    cuts, width = [0], 0
    for receiver, degree in enumerate(degrees):
        width = max(width, degree)
        if receiver > cuts[-1] and (receiver + 1 - cuts[-1]) * width > size:
            cuts.append(receiver)
            width = degree
    return [*cuts, len(degrees)]


def _by_output(table: Polynomial, x: Tensor) -> Tensor:
    return x.reshape(*x.shape[:2], table.outputs, table.components)


def _monomials(table: Polynomial, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the factors, a one after them, and the products of their pairs; shape=(channels, atoms, ...)."""
    factors = torch.nn.functional.pad(x.permute(2, 1, 0), (0, 1), value=1.0)
    a, b = table.pairs[:, 0], table.pairs[:, 1]  # -1 takes the one
    return factors, factors[..., a] * factors[..., b]


class _Places:
    """Where the edges of some receivers are in a table with a row for each of these."""

    def __init__(self, start: Tensor, atoms: slice) -> None:
        own = start[atoms.start : atoms.stop + 1]
        self.receiver = repeat_by(own)
        self.place = torch.arange(len(self.receiver), device=start.device) - (own[:-1] - own[0])[self.receiver]
        self.count = len(own) - 1
        self.width = int(own.diff().max())

    def spread(self, x: Tensor) -> Tensor:
        """Put values of edges where they belong, zeros elsewhere."""
        whole = x.new_zeros((self.count, self.width, *x.shape[1:]))
        return whole.index_put((self.receiver, self.place), x)

    def collect(self, x: Tensor) -> Tensor:
        """Return the values of the edges."""
        return x[self.receiver, self.place]


_Groups = list[tuple[slice, int, int]]


def _groups(table: Message) -> _Groups:
    """Return the products of each group, its path and its input.

    Outside of `torch.func.jvp`, within which PyTorch 2.7 does not read them.
    """
    bounds = pairwise(table.first.tolist())
    paths, inputs = table.group_path.tolist(), table.group_input.tolist()
    return [(slice(*own), k, a) for own, k, a in zip(bounds, paths, inputs, strict=True)]


def _sum(table: Message, groups: _Groups, place: _Places, radial: Tensor, sent: Tensor, angular: Tensor) -> Tensor:
    """Return the sums over neighbours of a table's receivers."""
    s = sent.new_zeros((table.outputs, place.count, sent.shape[2]))
    weights = place.spread(angular)
    for own, k, a in groups:
        message = place.spread(radial[:, k] * sent[a])
        s = s.index_add(0, table.output[own], torch.einsum("iwq,iwc->qic", weights[..., own], message))
    return s


def _sum_reverse(
    table: Message,
    groups: _Groups,
    place: _Places,
    radial: Tensor,
    slope: Tensor,
    sent: Tensor,
    angular: Tensor,
    gs: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients by what is sent, by `angular` and by the distances."""
    weights, gsent, gangular = place.spread(angular), [torch.zeros_like(sent[0])] * len(sent), []
    along = angular.new_zeros(len(angular), dtype=torch.float64)
    for own, k, a in groups:
        gown = gs[table.output[own]]
        message = place.spread(radial[:, k] * sent[a])
        gangular.append(torch.einsum("iwc,qic->iwq", message, gown))
        gmessage = place.collect(torch.einsum("iwq,qic->iwc", weights[..., own], gown))
        gsent[a] = gsent[a] + gmessage * radial[:, k]
        along = along + (gmessage * sent[a] * slope[:, k]).sum(1)
    return torch.stack(gsent), place.collect(torch.cat(gangular, dim=2)).double(), along


def _along_edges(
    links: ClusterLinks, edges: slice, changing: Changing
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Return radial functions, slopes, what is sent and angular factors of some edges, and the derivatives of these."""
    sender, edge, moved = links.sender[edges], links.edge[edges], links.moved[edges]
    row, touched = links.row[edge], torch.nonzero(moved >= 0)[:, 0]
    radial, h, dh = changing.radial, changing.h, changing.dh
    value, slope, weights = radial[0][row], radial[1][row], changing.angular[edge]
    own = moved[touched]
    dvalue, dslope, dweights = torch.zeros_like(value), torch.zeros_like(value), torch.zeros_like(weights)
    dr = changing.ddistance[own, None, None]
    dvalue[touched] = dr * slope[touched]
    if len(radial) > 2:
        dslope[touched] = dr * radial[2][row[touched]]
    dweights[touched] = changing.dangular[own]
    dsent = h.new_zeros((h.shape[0], len(sender), h.shape[2]))
    carried = torch.nonzero(sender < dh.shape[1])[:, 0]
    dsent[:, carried] = dh[:, sender[carried]]
    return (value, slope, h[:, links.atom[sender]], weights), (dvalue, dslope, dsent, dweights)


def _lengthened(x: Tensor, count: int) -> Tensor:
    """Add nodes of zeros."""
    return torch.nn.functional.pad(x, (0, 0, 0, count - x.shape[1]))
