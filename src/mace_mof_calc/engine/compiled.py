"""The kernels as compiled loops: on the CPU, in as many threads as PyTorch has."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import gathering, polynomials
from .kernels import Changing, ClusterLinks, Links
from .tables import Message, Polynomial

_LEAST = 64
"""Edges or atoms below which a second thread is not worth its start."""


class Compiled:
    """The kernels that `Kernels` describes, on the CPU."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._pool_size = 0

    def contract(self, table: Polynomial, elements: Tensor, x: Tensor) -> Tensor:
        """Return the polynomial of each atom's `x`."""
        y = x.new_zeros((table.outputs, *x.shape[1:]))
        self._run(polynomials.contract, _even(x.shape[1]), x, elements, *_polynomial(table), y)
        return y

    def contract_reverse(self, table: Polynomial, elements: Tensor, x: Tensor, gy: Tensor) -> Tensor:
        """Return the gradient by `x`."""
        gx = torch.zeros_like(x)
        self._run(polynomials.contract_reverse, _even(x.shape[1]), x, gy, elements, *_polynomial(table), gx)
        return gx

    def contract_tangent(self, table: Polynomial, elements: Tensor, atom: Tensor, x: Tensor, dx: Tensor) -> Tensor:
        """Return the derivative of the polynomial of nodes."""
        dy = dx.new_zeros((table.outputs, *dx.shape[1:]))
        self._run(polynomials.contract_tangent, _even(dx.shape[1]), x, atom, dx, elements, *_polynomial(table), dy)
        return dy

    def contract_reverse_tangent(
        self, table: Polynomial, elements: Tensor, atom: Tensor, x: Tensor, gy: Tensor, dx: Tensor, dgy: Tensor
    ) -> Tensor:
        """Return the derivative of the gradient by `x`."""
        dgx = dgy.new_zeros((x.shape[0], *dgy.shape[1:]))
        self._run(
            polynomials.contract_reverse_tangent,
            _even(dgy.shape[1]),
            *(x, gy, atom, dx, dgy, elements, *_polynomial(table), dgx),
        )
        return dgx

    def gather(self, table: Message, links: Links, radial: Tensor, h: Tensor, angular: Tensor) -> Tensor:
        """Return the sums over neighbours."""
        s = h.new_zeros((table.outputs, *h.shape[1:]))
        self._run(
            gathering.gather,
            _arrays(links.start)[0],
            *(links.start, links.sender, links.row, radial, h, angular, *_message(table), s),
        )
        return s

    def gather_reverse(
        self, table: Message, links: Links, radial: tuple[Tensor, ...], h: Tensor, angular: Tensor, gs: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients by `h`, by `angular` and by the distances."""
        gangular, along = (
            angular.new_empty(angular.shape, dtype=torch.float64),
            angular.new_zeros(len(angular)).double(),
        )
        gh = h.new_zeros(h.shape)
        self._run_adding(
            gathering.gather_reverse,
            _arrays(links.start)[0],
            gh,
            *(links.start, links.sender, links.row, *radial[:2], h, angular, *_message(table), gs, gangular, along),
        )
        return gh, gangular, along

    def gather_tangent(self, table: Message, links: ClusterLinks, count: int, changing: Changing) -> Tensor:
        """Return the derivative of the sums of the first `count` nodes."""
        ds = changing.h.new_zeros((table.outputs, count, changing.h.shape[2]))
        self._run(
            gathering.gather_tangent,
            _arrays(links.start[: count + 1])[0],
            *(*_cluster(links), *changing.radial[:2], *_changing(changing), *_message(table), ds),
        )
        return ds

    def gather_reverse_tangent(
        self, table: Message, links: ClusterLinks, reached: int, changing: Changing, gs: Tensor, dgs: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the derivatives of the gradients."""
        start = _arrays(links.start[: dgs.shape[1] + 1])[0]
        h, angular = changing.h, changing.angular
        dgangular = angular.new_empty((int(start[-1]), angular.shape[1]), dtype=torch.float64)
        dalong = dgangular.new_zeros(len(dgangular))
        dgh = h.new_zeros((h.shape[0], reached, h.shape[2]))
        self._run_adding(
            gathering.gather_reverse_tangent,
            start,
            dgh,
            *(*_cluster(links), *changing.radial, *_changing(changing)),
            *(*_message(table), gs, dgs, dgangular, dalong),
        )
        return dgh, dgangular, dalong

    def _run(self, loop: Callable[..., None], weights: np.ndarray[Any, Any], *arguments: Tensor) -> None:
        """Run a loop over shares of the atoms; `weights` is the work before each of them."""
        arrays = _arrays(*arguments)
        shares = _shares(weights)
        if len(shares) == 1:
            loop(*shares[0], *arrays)
        else:
            list(self._threads().map(lambda share: loop(*share, *arrays), shares))

    def _run_adding(
        self, loop: Callable[..., None], weights: np.ndarray[Any, Any], total: Tensor, *arguments: Tensor
    ) -> None:
        """Run a loop over shares of the atoms which adds to `total`, its last argument.

        Several shares add to the same entries, which threads must not do at once. So each has an array of its own,
        and these are added at the end.
        """
        arrays = _arrays(*arguments)
        shares = _shares(weights)
        sums = [total, *(torch.zeros_like(total) for _ in shares[1:])]
        calls = zip(shares, sums, strict=True)
        if len(shares) == 1:
            loop(*shares[0], *arrays, total.numpy())
        else:
            list(self._threads().map(lambda call: loop(*call[0], *arrays, call[1].numpy()), calls))
        for own in sums[1:]:
            total += own

    def _threads(self) -> ThreadPoolExecutor:
        """Return as many threads as PyTorch has now."""
        if self._pool is None or self._pool_size != torch.get_num_threads():
            self._pool_size = torch.get_num_threads()
            self._pool = ThreadPoolExecutor(self._pool_size, thread_name_prefix="mace-mof")
        return self._pool


def _arrays(*tensors: Tensor) -> list[np.ndarray[Any, Any]]:
    return [tensor.contiguous().numpy() for tensor in tensors]


def _even(count: int) -> np.ndarray[Any, Any]:
    return np.arange(count + 1)


def _shares(weights: np.ndarray[Any, Any]) -> list[tuple[int, int]]:
    """Cut a range into parts of like weight, one for each thread."""
    parts = max(1, min(torch.get_num_threads(), int(weights[-1]) // _LEAST))
    cuts = np.searchsorted(weights, np.linspace(0, weights[-1], parts + 1)[1:-1])
    bounds = [0, *(int(cut) for cut in cuts), len(weights) - 1]
    return list(pairwise(bounds))


def _polynomial(table: Polynomial) -> tuple[Tensor, ...]:
    return table.pairs, table.first, table.output, table.last, table.coefficients


def _message(table: Message) -> tuple[Tensor, ...]:
    return table.group_path, table.group_input, table.first, table.output


def _changing(changing: Changing) -> tuple[Tensor, ...]:
    return changing.h, changing.dh, changing.angular, changing.dangular, changing.ddistance


def _cluster(links: ClusterLinks) -> tuple[Tensor, ...]:
    return links.start, links.edge, links.sender, links.atom, links.row, links.moved
