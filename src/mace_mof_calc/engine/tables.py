"""What a MACE model is after folding: tables for the elements that are present."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .harmonics import Harmonics

if TYPE_CHECKING:
    import torch

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Polynomial:
    """Symmetric contraction: ``y_o = sum_t coefficients[z, t] x_a x_b x_last`` over the terms t of output o.

    Attributes
    ----------
    pairs : ndarray, shape=(pairs, 2), dtype=int
        First two factors a and b, -1 where there is none.
    first : ndarray, shape=(pairs + 1,), dtype=int
        Where each pair's terms start.
    output, last : ndarray, shape=(terms,), dtype=int
        Output component and last factor of each term.
    coefficients : ndarray, shape=(elements, terms, channels)
    outputs : int
        Number of output components.
    """

    pairs: Array
    first: Array
    output: Array
    last: Array
    coefficients: Array
    outputs: int


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """Sum over neighbours: ``S_o += M[e, q] R_k(r_e) h_a``, for the entries q = (k, a, o).

    Attributes
    ----------
    angular : ndarray, shape=(harmonics, entries)
        ``M = Y @ angular``: coupling coefficients contracted with nothing yet but their own constants.
    group_path, group_input : ndarray, shape=(groups,), dtype=int
        Radial function k and input component a of each group of entries.
    first : ndarray, shape=(groups + 1,), dtype=int
        Where each group's entries start.
    output : ndarray, shape=(entries,), dtype=int
        Component of S.
    paths : int
        Number of radial functions per channel.
    outputs : int
        Number of components of S.
    """

    angular: Array
    group_path: Array
    group_input: Array
    first: Array
    output: Array
    paths: int
    outputs: int


@dataclass(frozen=True, slots=True, eq=False)
class Mixing:
    """Linear map of channels between slices of components: ``y[to] += x[from] @ matrix``.

    Attributes
    ----------
    source, target : slice
        Components.
    matrix : ndarray, shape=(channels, channels) or (elements, channels, channels)
    """

    source: slice
    target: slice
    matrix: Array


@dataclass(frozen=True, slots=True, eq=False)
class Readout:
    """Energy of a site from its scalar features: linear, or one hidden layer with SiLU.

    Attributes
    ----------
    inner : ndarray, shape=(channels, width) or None
    outer : ndarray, shape=(width,) or (channels,)
        With the activation's normalisation in it.
    """

    inner: Array | None
    outer: Array


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
    constant : ndarray, shape=(elements, channels) or None
        Added to the scalar features.
    radial : tuple of ndarray
        Matrices of the radial network; SiLU between them.
    readout : Readout
    """

    up: tuple[Mixing, ...]
    message: Message
    mix: tuple[Mixing, ...]
    polynomial: Polynomial
    out: tuple[Mixing, ...]
    skip: tuple[Mixing, ...]
    constant: Array | None
    radial: tuple[Array, ...]
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
    embedding : ndarray, shape=(elements, channels)
    blocks : tuple of Block
    energies : ndarray, shape=(elements,)
        Of the free atoms, eV, and the model's shift.
    scale : float
        Of the interaction energy.
    activation : float
        Normalisation of SiLU in the radial network.
    radial_embedding, pair_repulsion : torch.nn.Module
        mace's own, in double precision; the second is None where the model has none.
    all_numbers : tuple of int
        All elements of the model.
    """

    numbers: tuple[int, ...]
    r_max: float
    channels: int
    harmonics: Harmonics
    embedding: Array
    blocks: tuple[Block, ...]
    energies: Array
    scale: float
    activation: float
    radial_embedding: torch.nn.Module
    pair_repulsion: torch.nn.Module | None
    all_numbers: tuple[int, ...]

    @property
    def reach(self) -> float:
        """Distance in A up to which an atom's energy depends on others."""
        return len(self.blocks) * self.r_max
