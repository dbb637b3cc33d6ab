"""SOAP (Vyas et al., arXiv:2409.11321): Adam in the slowly rotating eigenbasis of Shampoo's preconditioner."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

LARGEST = 512  # sides longer than this are not preconditioned


def matrix_shape(name: str, parameter: Tensor, channels: int) -> tuple[int, int, int]:
    """View of a parameter as a stack of matrices.

    Weights of e3nn's linear maps are flat; those made of ``(channels, channels)`` blocks are seen as such.
    """
    n, block = parameter.numel(), channels * channels
    if parameter.dim() == 3:  # contraction weights: element, path, channel
        return (parameter.shape[0], parameter.shape[1], parameter.shape[2])
    if parameter.dim() == 2:
        return (1, parameter.shape[0], parameter.shape[1])
    if "skip_tp" not in name and n % block == 0:
        return (n // block, channels, channels)
    if n % channels == 0:
        return (1, n // channels, channels)
    return (1, 1, n)


class SOAP(torch.optim.Optimizer):
    """The optimiser.

    Parameters
    ----------
    named : iterable of (str, Parameter)
        What to optimise.
    channels : int
        Multiplicity of the model's features, to see flat weights as matrices.
    lr : float
        Learning rate, as of Adam.
    betas : (float, float)
        Decay of the first and second moments.
    every : int
        Steps between rotations of the basis.
    """

    def __init__(
        self,
        named: Iterable[tuple[str, torch.nn.Parameter]],
        channels: int,
        lr: float = 3e-3,
        betas: tuple[float, float] = (0.95, 0.99),
        every: int = 10,
    ) -> None:
        pairs = [(n, p) for n, p in named if p.requires_grad]
        self.shapes = [matrix_shape(n, p, channels) for n, p in pairs]
        super().__init__([p for _, p in pairs], {"lr": lr, "betas": betas, "every": every, "eps": 1e-8})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # a closure would evaluate the loss again
        """One step."""
        group = self.param_groups[0]
        beta1, beta2 = group["betas"]
        for p, shape in zip(group["params"], self.shapes, strict=True):
            if p.grad is None:
                continue
            g = p.grad.reshape(shape)
            state = self.state[p]
            sides = [k for k in (1, 2) if 1 < shape[k] <= LARGEST]
            if not state:
                state["step"] = 0
                state["m"], state["v"] = torch.zeros_like(g), torch.zeros_like(g)
                for k in sides:
                    state[f"l{k}"] = _gram(g, k)
                    state[f"q{k}"] = torch.linalg.eigh(state[f"l{k}"])[1].flip(-1)
                continue  # the first gradient only sets the basis
            state["step"] += 1
            t = state["step"]
            rotated = _rotate(g, state, sides)
            state["m"].lerp_(g, 1 - beta1)
            state["v"].lerp_(rotated**2, 1 - beta2)
            denominator = (state["v"] / (1 - beta2**t)).sqrt() + group["eps"]
            update = _rotate(state["m"], state, sides) / (1 - beta1**t) / denominator
            update = _rotate(update, state, sides, back=True)
            p.add_(update.reshape(p.shape), alpha=-group["lr"])
            for k in sides:
                state[f"l{k}"].lerp_(_gram(g, k), 1 - beta2)
            if t % group["every"] == 0 or t == 1:
                for k in sides:
                    _refresh(state, k)


def _gram(g: Tensor, side: int) -> Tensor:
    return g @ g.transpose(1, 2) if side == 1 else g.transpose(1, 2) @ g


def _rotate(x: Tensor, state: dict[str, Any], sides: list[int], back: bool = False) -> Tensor:
    for k in sides:
        q = state[f"q{k}"]
        turn = q if back == (k == 1) else q.transpose(1, 2)
        x = turn @ x if k == 1 else x @ turn
    return x


def _refresh(state: dict[str, Any], side: int) -> None:
    """One step of orthogonal iteration; second moments follow the new order of the eigenvectors."""
    gram, q = state[f"l{side}"], state[f"q{side}"]
    estimate = torch.einsum("bij,bik,bkj->bj", q, gram, q)
    order = estimate.argsort(dim=-1, descending=True)
    q = torch.gather(q, 2, order[:, None, :].expand_as(q))
    v = state["v"]
    index = order[:, :, None].expand_as(v) if side == 1 else order[:, None, :].expand_as(v)
    state["v"] = torch.gather(v, side, index)
    state[f"q{side}"] = torch.linalg.qr(gram @ q)[0]
