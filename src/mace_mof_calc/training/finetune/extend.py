"""New elements in a model: each begins as a copy of a known one, and nothing changes for structures without it.

mace's own trainer takes the elements of the data from the foundation model, and fails where it lacks one. In the
networks of `models.architecture` an element has rows of its own in three kinds of parameters: the embedding of nodes,
the skip connections, and the products. The first two are divided by the root of the number of elements, which is made
up for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.data import covalent_radii

from ...frames import get_labels
from ...models.hyperparameters import Hyperparameters

if TYPE_CHECKING:
    import torch

TRIALS = 4
"""Frames on which the elements are compared that a new one may begin as."""

_ENERGIES = "atomic_energies_fn.atomic_energies"
_EMBEDDING = re.compile(r"node_embedding\.linear\.weight")
_SKIP = re.compile(r"interactions\.\d+\.skip_tp\.weight")
_PRODUCT = re.compile(r"products\.\d+\.symmetric_contractions\.contractions\.\d+\.weights(_max|\.\d+)")


@dataclass(frozen=True, slots=True, eq=False)
class Blueprint:
    """A model as data.

    Attributes
    ----------
    hyperparameters : Hyperparameters
    state : mapping of str to torch.Tensor
        Its parameters, and the buffers that do not follow from the hyperparameters.
    """

    hyperparameters: Hyperparameters
    state: Mapping[str, torch.Tensor]

    @property
    def energies(self) -> dict[int, float]:
        """Energies of free atoms by atomic number, eV, of a model with one head."""
        values = self.state[_ENERGIES].flatten().tolist()
        return dict(zip(self.hyperparameters.atomic_numbers, values, strict=True))


def substitute(atoms: Atoms, stand_ins: Mapping[int, int]) -> Atoms:
    """Return a structure with atoms of some elements replaced by others, without what it carries."""
    numbers = [stand_ins.get(int(number), int(number)) for number in atoms.numbers]
    return Atoms(numbers=numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)


def choose_stand_ins(
    frames: Sequence[Atoms], known: Sequence[int], new: Sequence[int], calculator: Calculator
) -> dict[int, int]:
    """Choose the known element that each new one is to begin as: the one whose forces in its place are nearest.

    Parameters
    ----------
    frames : sequence of Atoms
        Labelled, each new element in at least one.
    known, new : sequence of int
        Atomic numbers that the calculator knows, and that it does not. While one new element is chosen for, others are
        replaced by the known ones nearest in covalent radius, or chosen before.
    calculator : Calculator

    Returns
    -------
    mapping of int to int
        Known by new.
    """
    chosen = {z: min(known, key=lambda other: abs(covalent_radii[other] - covalent_radii[z])) for z in new}
    for z in new:
        trials = [atoms for atoms in frames if z in atoms.numbers][:TRIALS]
        chosen[z] = min(known, key=lambda other: _force_error(trials, {**chosen, z: other}, calculator))
    return chosen


def extend(model: Blueprint, stand_ins: Mapping[int, int]) -> Blueprint:
    """Add elements to a model, each with the parameters of a known one, and zero as energy of its free atom.

    Parameters
    ----------
    model : Blueprint
    stand_ins : mapping of int to int
        Atomic numbers: known by new.
    """
    import torch

    known = model.hyperparameters.atomic_numbers
    numbers = tuple(sorted({*known, *stand_ins}))
    rows = [known.index(stand_ins.get(number, number)) for number in numbers]
    fan_in = (len(numbers) / len(known)) ** 0.5
    channels = int(model.hyperparameters.hidden_irreps.partition("x")[0])
    state = {}
    for name, tensor in model.state.items():
        if (shape := _find_rows(name, len(known), channels)) is not None:
            chosen = tensor.reshape(shape)[:, rows]
            # Products have an axis of their own for the elements, and are not divided by their number.
            product = _PRODUCT.fullmatch(name)
            state[name] = chosen.reshape(-1, *tensor.shape[1:]) if product else (chosen * fan_in).flatten()
        elif name == _ENERGIES:
            is_known = torch.tensor([number in known for number in numbers])
            state[name] = torch.where(is_known, tensor.reshape(-1, len(known))[:, rows], 0.0)
        else:
            state[name] = tensor
    return Blueprint(replace(model.hyperparameters, atomic_numbers=numbers), state)


def mark_own(model: Blueprint, numbers: Sequence[int]) -> dict[str, torch.Tensor]:
    """Return which entries of the parameters belong to some elements; without their atoms nothing depends on these.

    Parameters
    ----------
    model : Blueprint
    numbers : sequence of int
        Atomic numbers, all of which it knows.

    Returns
    -------
    mapping of str to Tensor of bool
        Of all parameters and buffers, in their shapes.
    """
    import torch

    known = model.hyperparameters.atomic_numbers
    own = torch.tensor([number in numbers for number in known])
    channels = int(model.hyperparameters.hidden_irreps.partition("x")[0])
    marks = {}
    for name, tensor in model.state.items():
        mark = torch.zeros(tensor.shape, dtype=torch.bool)
        if (shape := _find_rows(name, len(known), channels)) is not None:
            mark.reshape(shape)[:, own] = True
        marks[name] = mark
    return marks


def _find_rows(name: str, count: int, channels: int) -> tuple[int, int, int] | None:
    """Return a shape in which a parameter's second axis counts the elements, None where it has no rows of theirs."""
    if _SKIP.fullmatch(name):
        return -1, count, channels
    return (1, count, -1) if _EMBEDDING.fullmatch(name) or _PRODUCT.fullmatch(name) else None


def _force_error(frames: Sequence[Atoms], stand_ins: Mapping[int, int], calculator: Calculator) -> float:
    errors = []
    for atoms in frames:
        forces = calculator.get_forces(substitute(atoms, stand_ins))
        errors.append(np.mean((forces - get_labels(atoms).forces) ** 2))
    return float(np.mean(errors))
