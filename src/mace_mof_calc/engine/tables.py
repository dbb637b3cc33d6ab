"""What a MACE model is after folding: tables for the elements that are present.

All arrays are tensors. What acts on channels is in the precision of the computation; energies, harmonics and everything
else that acts on distances and directions is in float64.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .harmonics import Harmonics


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Polynomial:
    """Symmetric contraction: ``y_o = sum_t coefficients[z, t] x_a x_b x_last`` over the terms t of output o.

    Attributes
    ----------
    pairs : Tensor, shape=(pairs, 2), dtype=int64
        First two factors a and b, -1 where there is none.
    first : Tensor, shape=(pairs + 1,), dtype=int64
        Where each pair's terms start.
    output, last : Tensor, shape=(terms,), dtype=int64
        Output component and last factor of each term.
    coefficients : Tensor, shape=(elements, terms, channels)
    components, outputs : int
        Number of components of x and of y.
    """

    pairs: Tensor
    first: Tensor
    output: Tensor
    last: Tensor
    coefficients: Tensor
    components: int
    outputs: int


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """Sum over neighbours: ``S_o += M[e, q] R_k(r_e) h_a``, for the entries q = (k, a, o).

    Attributes
    ----------
    angular : Tensor, shape=(harmonics, entries), dtype=float64
        ``M = Y @ angular``: coupling coefficients contracted with nothing yet but their own constants.
    group_path, group_input : Tensor, shape=(groups,), dtype=int64
        Radial function k and input component a of each group of entries.
    first : Tensor, shape=(groups + 1,), dtype=int64
        Where each group's entries start.
    output : Tensor, shape=(entries,), dtype=int64
        Component of S.
    paths : int
        Number of radial functions per channel.
    outputs : int
        Number of components of S.
    """

    angular: Tensor
    group_path: Tensor
    group_input: Tensor
    first: Tensor
    output: Tensor
    paths: int
    outputs: int


@dataclass(frozen=True, slots=True, eq=False)
class Mixing:
    """Linear map of channels between slices of components: ``y[to] += x[from] @ matrix``.

    Attributes
    ----------
    source, target : slice
        Components.
    matrix : Tensor, shape=(channels, channels) or (elements, channels, channels)
    """

    source: slice
    target: slice
    matrix: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Readout:
    """Energy of a site from its scalar features: linear, or one hidden layer with SiLU.

    Attributes
    ----------
    inner : Tensor, shape=(channels, width) or None
    outer : Tensor, shape=(width,) or (channels,)
        With the activation's normalisation in it.
    """

    inner: Tensor | None
    outer: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """One interaction and product block.

    Attributes
    ----------
    up : tuple of Mixing
        Features of the layer before to h.
    message : Message
    mix : tuple of Mixing
        S to A; divided by the number of neighbours.
    polynomial : Polynomial
        A to B.
    out : tuple of Mixing
        B to features.
    skip : tuple of Mixing
        Features of the layer before to features.
    constant : Tensor, shape=(elements, channels) or None
        Added to the scalar features.
    radial : tuple of Tensor
        Matrices of the radial network; SiLU between them.
    readout : Readout
    """

    up: tuple[Mixing, ...]
    message: Message
    mix: tuple[Mixing, ...]
    polynomial: Polynomial
    out: tuple[Mixing, ...]
    skip: tuple[Mixing, ...]
    constant: Tensor | None
    radial: tuple[Tensor, ...]
    readout: Readout


@dataclass(frozen=True, slots=True, eq=False)
class FoldedModel:
    """A MACE model for some elements.

    Attributes
    ----------
    numbers : tuple of int
        Atomic numbers of the elements, ascending; elements are counted in this order.
    r_max : float
        Cutoff in A.
    channels : int
    harmonics : Harmonics
    embedding : Tensor, shape=(elements, channels)
    blocks : tuple of Block
    energies : Tensor, shape=(elements,), dtype=float64
        Of the free atoms, eV, and the model's shift.
    scale : float
        Of the interaction energy.
    activation : float
        Normalisation of SiLU in the radial network.
    radial_embedding, pair_repulsion : torch.nn.Module
        mace's own, in float64; the second is None where the model has none.
    all_numbers : tuple of int
        All elements of the model.
    """

    numbers: tuple[int, ...]
    r_max: float
    channels: int
    harmonics: Harmonics
    embedding: Tensor
    blocks: tuple[Block, ...]
    energies: Tensor
    scale: float
    activation: float
    radial_embedding: torch.nn.Module
    pair_repulsion: torch.nn.Module | None
    all_numbers: tuple[int, ...]

    @property
    def reach(self) -> float:
        """Distance in A up to which an atom's energy depends on others."""
        return len(self.blocks) * self.r_max

    @property
    def device(self) -> torch.device:
        """Where the tables are."""
        return self.embedding.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of what acts on channels."""
        return self.embedding.dtype

    def to(self, device: str | torch.device, dtype: torch.dtype) -> FoldedModel:
        """Return the model on a device, what acts on channels in a precision; this one is not to be used any more."""
        moved: FoldedModel = _move(self, torch.device(device), dtype)
        return replace(moved, energies=self.energies.to(device))


def _move(thing: Any, device: torch.device, dtype: torch.dtype) -> Any:
    if isinstance(thing, Tensor):
        return thing.to(device, dtype if thing.is_floating_point() else thing.dtype)
    if isinstance(thing, torch.nn.Module):
        return thing.to(device)
    if isinstance(thing, tuple):
        return tuple(_move(each, device, dtype) for each in thing)
    if is_dataclass(thing) and not isinstance(thing, type):
        own = torch.float64 if isinstance(thing, Harmonics | Message) else dtype
        return replace(thing, **{field.name: _move(getattr(thing, field.name), device, own) for field in fields(thing)})
    return thing
