"""Where a training starts: frames with their division, and a model with their elements and heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms

from ...domain.descriptors import compute_descriptors
from ...frames import get_labels
from ...models.loading import LoadedModel, load
from ..job import Track
from .atoms import add_up, fit_energies, read_free_atoms
from .extend import Blueprint, choose_stand_ins, extend, substitute
from .graphs import count_neighbours, forces_scale
from .model import add_heads, all_elements, describe_module, keep_head, make_fresh
from .recipe import OWN_HEAD, REPLAY_HEAD, Architecture, Recipe

Array = np.ndarray[Any, Any]

FITTED = 200
"""Frames that energies of free atoms are fitted to, at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Foundation:
    """The model that training starts from.

    Attributes
    ----------
    loaded : LoadedModel
        With one head.
    model : Blueprint
        The same as data.
    """

    loaded: LoadedModel
    model: Blueprint

    @property
    def energies(self) -> dict[int, float]:
        """Energies of free atoms by atomic number, eV."""
        values = self.model.state["atomic_energies_fn.atomic_energies"].flatten().tolist()
        return dict(zip(self.model.hyperparameters.atomic_numbers, values, strict=True))


def read_foundation(name: str, head: str | None) -> Foundation:
    """Load a foundation model, with one of its heads alone.

    Parameters
    ----------
    name : str
        Registered name, or model file.
    head : str or None
        See `models.loading.choose_head`.
    """
    loaded = load(name, head=head)
    module = keep_head(loaded.module, loaded.head)
    return Foundation(replace(loaded, module=module, heads=(loaded.head,)), describe_module(module))


def find_stand_ins(foundation: Foundation, frames: Sequence[Atoms]) -> dict[int, int]:
    """Return which element each one that the foundation model lacks begins as; see `extend.choose_stand_ins`."""
    known = foundation.model.hyperparameters.atomic_numbers
    new = [number for number in all_elements(frames) if number not in known]
    return choose_stand_ins(frames, known, new, _make_calculator(foundation)) if new else {}


def compute_features(
    foundation: Foundation, frames: Sequence[Atoms], stand_ins: Mapping[int, int], track: Track
) -> Array:
    """Return the mean descriptors of the atoms of each element, one element after the other, of each frame.

    Returns
    -------
    ndarray, shape=(frames, elements * features)
        Zeros for elements that a frame does not have.
    """
    elements = all_elements(frames)
    rows = []
    for atoms in track(frames, "descriptors"):
        descriptors = compute_descriptors(foundation.loaded, substitute(atoms, stand_ins))
        own = [descriptors[atoms.numbers == number] for number in elements]
        rows.append(np.concatenate([part.mean(axis=0) if len(part) else 0 * descriptors[0] for part in own]))
    return np.array(rows)


def tune(
    foundation: Foundation,
    stand_ins: Mapping[int, int],
    own: Sequence[Atoms],
    free: Sequence[Atoms],
    recipe: Recipe,
    *,
    replay: bool,
) -> Blueprint:
    """Make the model that is fine-tuned: that of the foundation, with all elements, and a head for each set of frames.

    Energies of free atoms are, in this order, those of `free`, those of the foundation model, and for elements that it
    lacks a fit. With ``recipe.energies == "fit"`` all but the first are corrected by the smallest amounts with which
    the model gives the energies of the frames.
    """
    known = foundation.energies
    energies = {**known, **read_free_atoms(free)}
    missing = [number for number in stand_ins if number not in energies]
    if missing or recipe.energies == "fit":
        calculator = _make_calculator(foundation)
        chosen = own[:: -(-len(own) // FITTED)]
        targets = np.array([_atomic_part(atoms, stand_ins, known, calculator) for atoms in chosen])
        left = targets - [add_up(atoms, energies) for atoms in chosen]
        energies |= fit_energies(chosen, left, missing)
        if recipe.energies == "fit":
            fitted = [number for number in all_elements(own) if number not in read_free_atoms(free)]
            left = targets - [add_up(atoms, energies) for atoms in chosen]
            for number, correction in fit_energies(chosen, left, fitted).items():
                energies[number] += correction
    heads = {OWN_HEAD: energies}
    if replay:
        heads = {REPLAY_HEAD: {**energies, **known}, **heads}
    return add_heads(extend(foundation.model, stand_ins), heads)


def begin(architecture: Architecture, own: Sequence[Atoms], free: Sequence[Atoms], recipe: Recipe) -> Blueprint:
    """Make the model that is trained from nothing; energies of free atoms are those of `free`, the others fitted."""
    energies = read_free_atoms(free)
    missing = [number for number in all_elements(own) if number not in energies]
    left = np.array([get_labels(atoms).energy - add_up(atoms, energies) for atoms in own])
    energies |= fit_energies(own, left, missing)
    return make_fresh(
        architecture,
        energies,
        scale=forces_scale(own),
        neighbours=count_neighbours(own, architecture.cutoff),
        head=OWN_HEAD,
        seed=recipe.seed,
    )


def _atomic_part(atoms: Atoms, stand_ins: Mapping[int, int], known: Mapping[int, float], calculator: Any) -> float:
    """Return what the free atoms of a frame are to have, if the model's interactions between them are right."""
    replaced = substitute(atoms, stand_ins)
    interaction = calculator.get_potential_energy(replaced) - add_up(replaced, known)
    return float(get_labels(atoms).energy - interaction)


def _make_calculator(foundation: Foundation) -> Any:
    from ...calculator import MaceMOF

    return MaceMOF(foundation.loaded.path, device="cpu", head=foundation.loaded.head)
