"""The two sums that are no matrix products, and their derivatives: what there is to choose from.

``compiled`` has them as loops for the CPU, ``operations`` as operations of PyTorch for any device. Channels are in the
precision of the model; what belongs to an edge comes back in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from .tables import Message, Polynomial


@dataclass(frozen=True, slots=True, eq=False)
class Links:
    """Edges, sorted by receiver.

    Attributes
    ----------
    start : Tensor, shape=(receivers + 1,), dtype=int64
        First edge of each receiver.
    sender : Tensor, shape=(edges,), dtype=int64
    row : Tensor, shape=(edges,), dtype=int64
        Of the radial functions.
    """

    start: Tensor
    sender: Tensor
    row: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class ClusterLinks:
    """Edges of a cluster, whose values are those of a crystal.

    Attributes
    ----------
    start, sender : Tensor, dtype=int64
        As in `Links`, nodes of the cluster.
    edge : Tensor, shape=(edges,), dtype=int64
        Edge of the crystal.
    atom : Tensor, shape=(nodes,), dtype=int64
        Atom of the crystal.
    row : Tensor, shape=(edges of the crystal,), dtype=int64
        Of the radial functions.
    moved : Tensor, shape=(edges,), dtype=int64
        Row of the edge among those that change themselves, or -1.
    """

    start: Tensor
    sender: Tensor
    edge: Tensor
    atom: Tensor
    row: Tensor
    moved: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Changing:
    """What enters the sums over neighbours, and how it changes.

    Attributes
    ----------
    radial : tuple of Tensor, shape of each=(rows, paths, channels)
        Radial functions and their derivatives by the distance, ascending.
    h : Tensor, shape=(components, atoms, channels)
    dh : Tensor, shape=(components, nodes, channels)
        Change of h on the first so many nodes.
    angular : Tensor, shape=(edges of the crystal, entries)
    dangular : Tensor, shape=(moved, entries)
        Change of `angular` on the edges that change themselves,
    ddistance : Tensor, shape=(moved,)
        and of their distance, A.
    """

    radial: tuple[Tensor, ...]
    h: Tensor
    dh: Tensor
    angular: Tensor
    dangular: Tensor
    ddistance: Tensor


class Kernels(Protocol):
    """The sums.

    In `contract` ``x`` (components, atoms, channels) goes to the polynomial's outputs. In `gather` ``h`` of the
    senders, ``radial`` (rows, paths, channels) and ``angular`` (edges, entries) go to the sums of the receivers.
    ``..._reverse`` returns gradients of their products with ``gy`` or ``gs``, ``..._tangent`` derivatives along
    ``d...``, of the first so many nodes as those have; ``...reverse_tangent`` the derivative of the reverse.
    """

    def contract(self, table: Polynomial, elements: Tensor, x: Tensor) -> Tensor:
        """Return the polynomial of each atom's `x`."""

    def contract_reverse(self, table: Polynomial, elements: Tensor, x: Tensor, gy: Tensor) -> Tensor:
        """Return the gradient by `x`."""

    def contract_tangent(self, table: Polynomial, elements: Tensor, atom: Tensor, x: Tensor, dx: Tensor) -> Tensor:
        """Return the derivative of the polynomial of nodes, whose `x` is that of the atoms in `atom`."""

    def contract_reverse_tangent(
        self, table: Polynomial, elements: Tensor, atom: Tensor, x: Tensor, gy: Tensor, dx: Tensor, dgy: Tensor
    ) -> Tensor:
        """Return the derivative of the gradient by `x`; nodes without `dx` have none."""

    def gather(self, table: Message, links: Links, radial: Tensor, h: Tensor, angular: Tensor) -> Tensor:
        """Return the sums over neighbours."""

    def gather_reverse(
        self, table: Message, links: Links, radial: tuple[Tensor, ...], h: Tensor, angular: Tensor, gs: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients by `h`, by `angular` and, through the radial functions, by the distances."""

    def gather_tangent(self, table: Message, links: ClusterLinks, count: int, changing: Changing) -> Tensor:
        """Return the derivative of the sums of the first `count` nodes."""

    def gather_reverse_tangent(
        self, table: Message, links: ClusterLinks, reached: int, changing: Changing, gs: Tensor, dgs: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the derivatives of the gradients: by h of the first `reached` nodes, by angular and by distances."""
