"""The engine as seen from a structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from .evaluate import Evaluation, evaluate, sum_over_edges
from .folding import fold
from .graph import NeighbourList, find_pairs, make_crystal
from .response import Cluster, Crystal, reach, respond, respond_to
from .tables import FoldedModel

Array = np.ndarray[Any, Any]


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


class Engine:
    """A MACE model, folded for whatever elements come.

    Parameters
    ----------
    module : torch.nn.Module
        A ``ScaleShiftMACE``.
    head : int, optional
        Which head to use.

    Raises
    ------
    UnfoldableError
        The model has a part that the engine does not know.
    """

    def __init__(self, module: Any, head: int = 0) -> None:
        self._module, self._head = module, head
        self._folded: dict[tuple[int, ...], FoldedModel] = {}
        self._neighbours = NeighbourList()
        self.model([int(module.atomic_numbers[0])])

    def model(self, numbers: Any) -> FoldedModel:
        """Return the model folded for some elements."""
        key = tuple(sorted({int(z) for z in numbers}))
        if key not in self._folded:
            self._folded[key] = fold(self._module, key, self._head)
        return self._folded[key]

    def evaluate(self, atoms: Atoms) -> Results:
        """Evaluate energies, forces and virial of a structure."""
        model = self.model(atoms.numbers)
        crystal = self._neighbours.update(model, atoms)
        edges, order = crystal.edges, np.argsort(atoms.numbers, kind="stable")
        found = evaluate(model, edges)
        energies, forces = np.empty(len(atoms)), np.empty((len(atoms), 3))
        energies[order] = found.energies
        forces[order] = -sum_over_edges(edges.receiver, edges.sender, found.gradient, len(atoms))
        virial = found.gradient.T @ edges.vectors
        return Results(energies, forces, 0.5 * (virial + virial.T))

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
        """
        model, crystal, state, order = self._state(atoms)
        everything = _periodic(crystal, len(model.blocks))
        out = np.empty_like(displacements, dtype=float)
        for change, response in zip(np.asarray(displacements, dtype=float), out, strict=True):
            response[order] = -respond_to(model, crystal, state, everything, change[order])
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
        """
        model, crystal, state, order = self._state(atoms)
        seed = int(np.flatnonzero(order == index)[0])
        cluster = reach(crystal, seed, len(model.blocks))
        response = np.stack([-respond(model, crystal, state, cluster, direction) for direction in directions])
        return order[cluster.atom], cluster.cell, response

    def _state(self, atoms: Atoms) -> tuple[FoldedModel, Crystal, Evaluation, Array]:
        model = self.model(atoms.numbers)
        crystal = make_crystal(model, find_pairs(model, atoms), atoms.positions)
        return model, crystal, evaluate(model, crystal.edges, order=2), np.argsort(atoms.numbers, kind="stable")


def _periodic(crystal: Crystal, blocks: int) -> Cluster:
    """Return the cluster of a displacement of all atoms and their images: the cell itself, its edges closing on it."""
    edges, count = crystal.edges, len(crystal.edges.elements)
    return Cluster(
        atom=np.arange(count),
        cell=np.zeros((count, 3), dtype=int),
        forward=(count,) * blocks,
        backward=(count,) * blocks,
        start=edges.start,
        edge=np.arange(len(edges.sender)),
        sender=edges.sender,
    )
