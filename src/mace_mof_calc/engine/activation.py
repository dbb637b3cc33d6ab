"""The activation of the radial networks and of the readouts."""

from __future__ import annotations

import torch
from torch import Tensor


def silu(x: Tensor, order: int) -> list[Tensor]:
    """Return SiLU of each number and its derivatives up to an order (1 or 2)."""
    s = torch.sigmoid(x)
    found = [x * s, s * (1.0 + x * (1.0 - s))]
    if order == 2:
        found.append(s * (1.0 - s) * (2.0 + x * (1.0 - 2.0 * s)))
    return found
