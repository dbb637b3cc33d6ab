"""What a step follows: the losses of a draw, and their derivatives by the parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from functools import partial

import torch
from torch import Tensor

from .graph import Graph, Groups, tensors
from .losses import WEIGHTS, Labels, Minimum, Scales, Targets, errors, tempered
from .network import FastMACE
from .recorded import Function, Lane, Recorded

PIECES = ("minimum", "labelled")


class Gradients:
    """Losses of what is drawn of one crystal, and their derivatives by the parameters.

    Parameters
    ----------
    network : FastMACE
        The model.
    minimum : Minimum
        Of the crystal.
    targets : Targets
        Labelled frames, of this crystal among others.
    lanes : mapping of str to Lane, optional
        Of a GPU, for each of `PIECES`.
    """

    def __init__(
        self, network: FastMACE, minimum: Minimum, targets: Targets, lanes: Mapping[str, Lane] | None = None
    ) -> None:
        self._network, self._minimum, self._targets, self._lanes = network, minimum, targets, lanes
        self._parameters = [each for each in network.model.parameters() if each.requires_grad]
        self._recorded: dict[str, Recorded] = {}

    def __call__(self, amplitudes: Tensor, chosen: Sequence[int], scale: Scales) -> list[tuple[Tensor, ...]]:
        """Compute both pieces; on a GPU they are there after ``torch.cuda.synchronize()``.

        Parameters
        ----------
        amplitudes : Tensor
            Of the displacement that the Hessian is multiplied with.
        chosen : sequence of int
            Labelled frames, always as many.
        scale : Scales

        Returns
        -------
        list of (Tensor, Tensor)
            Losses of each piece, together in the order of `WEIGHTS`, and the derivatives, flat.
        """
        graph, labels = self._targets.joined(chosen)
        given = [torch.tensor(value, dtype=torch.float64).to(amplitudes) for value in astuple(scale)]
        return [
            self._run("minimum", self._at_minimum, amplitudes, *given),
            self._run("labelled", partial(self._labelled, graph.groups), *tensors(graph), *tensors(labels), *given),
        ]

    def _run(self, piece: str, function: Function, *arguments: Tensor) -> tuple[Tensor, ...]:
        if self._lanes is None:
            return function(*arguments)
        if piece not in self._recorded:
            self._recorded[piece] = Recorded(self._lanes[piece], function, *arguments)
        return self._recorded[piece](*arguments)

    def _at_minimum(self, amplitudes: Tensor, *scale: Tensor) -> tuple[Tensor, ...]:
        return self._differentiated(self._minimum.losses(self._network, amplitudes, Scales(*scale)))

    def _labelled(self, groups: Groups, *given: Tensor) -> tuple[Tensor, ...]:
        scale, labels = len(fields(Scales)), len(fields(Labels))
        graph = Graph(groups, *given[: -labels - scale])
        return self._differentiated(
            errors(self._network, graph, Labels(*given[-labels - scale : -scale]), Scales(*given[-scale:]))
        )

    def _differentiated(self, losses: dict[str, Tensor]) -> tuple[Tensor, ...]:
        total = sum(WEIGHTS[k] * tempered(v) for k, v in losses.items())
        assert isinstance(total, Tensor)
        found = torch.autograd.grad(total, self._parameters, allow_unused=True, materialize_grads=True)
        means = torch.stack([v.detach().mean() for v in losses.values()])
        return means, torch.cat([each.reshape(-1) for each in found])
