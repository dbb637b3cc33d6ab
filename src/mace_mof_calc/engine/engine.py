"""The engine as seen from a structure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from ase import Atoms

from ..checks import check_directions, check_displacements
from .batching import blaming, measure_memory, run_in_bins
from .cluster import Cluster, reach, side_by_side, whole
from .compiled import Compiled
from .evaluate import Evaluation, evaluate, sum_over_edges
from .folding import fold
from .graph import Crystal, NeighbourList, find_pairs, join_pairs, make_crystal
from .kernels import Kernels
from .operations import Operations
from .response import respond
from .tables import FoldedModel

Array = np.ndarray[Any, Any]
Backend = Literal["compiled", "pytorch"]

MEMORY = 100_000_000
"""Bytes that a batch may take on a CPU, where larger ones leave its caches and are slower."""

TOGETHER = {"cpu": 1, "cuda": 3}
"""Directions of an atom that are computed at once on a kind of device.

A GPU, which spends most of its time on starting operations, takes all that an atom usually has. A CPU gains nothing
from it (benchmarks/README.md), and memory grows with them.
"""

FOLDED = 8
"""Sets of elements whose tables are kept; those of the oldest go first."""


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """What a structure evaluates to.

    Attributes
    ----------
    energies : ndarray, shape=(atoms,)
        eV.
    forces : ndarray, shape=(atoms, 3)
        eV/A.
    virial : ndarray, shape=(3, 3)
        Derivative of the energy by a symmetric strain, eV.
    """

    energies: Array
    forces: Array
    virial: Array


@dataclass(frozen=True, slots=True, eq=False)
class _State:
    """A structure, evaluated for its response."""

    atoms: Atoms
    model: FoldedModel
    crystal: Crystal
    evaluation: Evaluation


class Engine:
    """A MACE model, folded for whatever elements come.

    Parameters
    ----------
    module : torch.nn.Module
        A ``ScaleShiftMACE``, in float64 on the CPU; not changed.
    head : int, optional
        Which head to use.
    device : str, optional
        Where to compute.
    dtype : torch.dtype, optional
        Precision of what acts on channels. Distances, directions, and sums over atoms and edges are in float64.
    backend : {'compiled', 'pytorch'}, optional
        Loops compiled by Numba, for the CPU, or operations of PyTorch.
    memory : int, optional
        Bytes that a batch of structures, and intermediate results of PyTorch's operations, may take. Default: for a
        batch `MEMORY` on a CPU and half of what is free on a GPU.

    Raises
    ------
    UnfoldableError
        The model has a part that the engine does not know.
    """

    def __init__(
        self,
        module: Any,
        head: int = 0,
        *,
        device: str = "cpu",
        dtype: torch.dtype = torch.float64,
        backend: Backend = "compiled",
        memory: int | None = None,
    ) -> None:
        self._module, self._head = module, head
        self._device, self._dtype = device, dtype
        self._kernels: Kernels = Compiled() if backend == "compiled" else Operations(memory)
        self._folded: dict[tuple[int, ...], FoldedModel] = {}
        self._neighbours = NeighbourList()
        self._memory = memory
        self._bytes: float | None = None  # that a batch takes for each atom or edge, once it has been measured
        self._last: _State | None = None
        self.model([int(module.atomic_numbers[0])])

    def model(self, numbers: Iterable[int]) -> FoldedModel:
        """Return the model folded for some elements."""
        key = tuple(sorted({int(z) for z in numbers}))
        if key not in self._folded:
            if len(self._folded) == FOLDED:
                del self._folded[next(iter(self._folded))]
            with torch.device("cpu"):  # whatever the program has made its default
                folded = fold(self._module, key, self._head)
            self._folded[key] = folded.to(self._device, self._dtype)
        return self._folded[key]

    def evaluate(self, atoms: Atoms) -> Results:
        """Evaluate energies, forces and virial of a structure."""
        model = self.model(atoms.numbers)
        return self._results(model, self._neighbours.update(model, atoms), [len(atoms)])[0]

    def evaluate_batch(self, structures: Sequence[Atoms]) -> list[Results]:
        """Evaluate structures, several at once, as many as there is memory for.

        Raises
        ------
        BatchError
            One of them failed; names it.
        """
        model = self.model(z for atoms in structures for z in atoms.numbers)
        pairs = []
        for number, atoms in enumerate(structures):
            with blaming(number):
                pairs.append(find_pairs(model, atoms))

        def run(items: Sequence[int]) -> list[Results]:
            own = [structures[k] for k in items]
            joined = join_pairs([pairs[k] for k in items])
            crystal = make_crystal(model, joined, np.concatenate([atoms.positions for atoms in own]))
            return self._results(model, crystal, [len(atoms) for atoms in own])

        weights = [len(each.order) + len(each.sender) for each in pairs]
        if self._bytes is None:
            lightest = int(np.argmin(weights))
            with blaming(lightest):
                crystal = make_crystal(model, pairs[lightest], structures[lightest].positions)
                taken = measure_memory(lambda: evaluate(model, crystal, self._kernels), model.device)
            self._bytes = taken / weights[lightest]
        return run_in_bins(run, weights, self._available() / self._bytes)

    def force_response(self, atoms: Atoms, displacements: Array) -> Array:
        """Return the derivative of all forces along displacements of the periodic structure.

        Parameters
        ----------
        atoms : Atoms
        displacements : ndarray, shape=(count, atoms, 3)
            In A; all periodic images move alike.

        Returns
        -------
        ndarray, shape=(count, atoms, 3)
            Product of the negative Hessian (eV/A^2) with the displacements, eV/A.

        Raises
        ------
        DisplacementError
            The displacements are not of that shape.
        """
        displacements = check_displacements(displacements, len(atoms))
        state = self._evaluated(atoms)
        everything = whole(state.crystal, len(state.model.blocks))
        out, order = np.empty(displacements.shape), state.crystal.order
        for change, response in zip(displacements, out, strict=True):
            moves = torch.as_tensor(change[order], device=self._device)
            response[order] = -respond(
                state.model, state.crystal, state.evaluation, everything, self._kernels, moves
            ).numpy(force=True)
        return out

    def atom_response(self, atoms: Atoms, index: int, directions: Array) -> tuple[Array, Array, Array]:
        """Return the response of the crystal without end to the displacement of one atom.

        Parameters
        ----------
        atoms : Atoms
            Unit cell.
        index : int
            The atom, in cell 0.
        directions : ndarray, shape=(count, 3)

        Returns
        -------
        atom : ndarray, shape=(nodes,), dtype=int
            Atoms whose forces change, and in which cells:
        cell : ndarray, shape=(nodes, 3), dtype=int
        response : ndarray, shape=(count, nodes, 3)
            Derivative of their forces, eV/A^2 for unit vectors.

        Raises
        ------
        DisplacementError
            There is no such atom, or the directions are not of that shape.
        """
        directions = check_directions(index, directions, len(atoms))
        state = self._evaluated(atoms)
        order = state.crystal.order
        cluster = reach(state.crystal, int(np.flatnonzero(order == index)[0]), len(state.model.blocks))
        response = np.empty((len(directions), len(cluster.atom), 3))
        together = TOGETHER[self._device.partition(":")[0]]
        for first in range(0, len(directions), together):
            own = slice(first, first + together)
            response[own] = self._respond_together(state, cluster, directions[own])
        return order[cluster.atom.numpy(force=True)], cluster.cell.numpy(force=True), response

    def _respond_together(self, state: _State, cluster: Cluster, directions: Array) -> Array:
        """Return the response to a cluster's first node in several directions, shape=(directions, nodes, 3)."""
        joint, place = side_by_side(cluster, len(directions))
        change = state.evaluation.unit.new_zeros((len(joint.atom), 3))
        change[place[:, 0]] = torch.as_tensor(directions, device=self._device)
        hessian = respond(state.model, state.crystal, state.evaluation, joint, self._kernels, change)
        response: Array = -hessian[place].numpy(force=True)
        return response

    def _available(self) -> int:
        """Return how many bytes a batch may take."""
        if self._memory is not None:
            return self._memory
        device = torch.device(self._device)
        return torch.cuda.mem_get_info(device)[0] // 2 if device.type == "cuda" else MEMORY

    def _results(self, model: FoldedModel, crystal: Crystal, sizes: list[int]) -> list[Results]:
        found, order = evaluate(model, crystal, self._kernels), crystal.order
        gradient = sum_over_edges(crystal.receiver, crystal.sender, found.gradient, len(order))
        energies, forces = np.empty(len(order)), np.empty((len(order), 3))
        energies[order], forces[order] = found.energies.numpy(force=True), -gradient.numpy(force=True)
        structure = torch.as_tensor(np.repeat(np.arange(len(sizes)), sizes)[order], device=model.device)
        by_edge = torch.einsum("ek,em->ekm", found.gradient, crystal.vectors)
        virials = by_edge.new_zeros((len(sizes), 3, 3)).index_add_(0, structure[crystal.receiver], by_edge)
        virials = 0.5 * (virials + virials.transpose(1, 2))
        cuts = np.cumsum(sizes)[:-1]
        parts = zip(np.split(energies, cuts), np.split(forces, cuts), virials.numpy(force=True), strict=True)
        return [Results(*part) for part in parts]

    def _evaluated(self, atoms: Atoms) -> _State:
        """Return a structure's evaluation; that of the last structure is kept."""
        if self._last is None or self._last.atoms != atoms:
            model = self.model(atoms.numbers)
            crystal = make_crystal(model, find_pairs(model, atoms), atoms.positions)
            evaluation = evaluate(model, crystal, self._kernels, order=2)
            self._last = _State(atoms.copy(), model, crystal, evaluation)
        return self._last
