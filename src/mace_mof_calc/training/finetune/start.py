"""Where a training starts: a model with the elements of the frames, their energies, and heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms

from ...domain.descriptors import compute_descriptors
from ...errors import TrainingError
from ...frames import get_labels
from ...models.loading import LoadedModel, load
from ..progress import Track
from .atoms import add_up, choose_covering, complete, compute_error, fit_energies, read_free_atoms
from .extend import Blueprint, choose_stand_ins, extend, substitute
from .graphs import count_neighbours, forces_scale
from .model import add_heads, all_elements, describe_module, keep_head, make_fresh
from .recipe import OWN_HEAD, REPLAY_HEAD, Architecture, Recipe

Array = np.ndarray[Any, Any]

FITTED = 200
"""Frames that energies of atoms are fitted to, at most, unless an element is in none of them."""

TOLERANCE = 0.1
"""By how much energies of free atoms may make those of the frames worse at the start, eV/atom."""


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

    The energies of atoms are those of the foundation model, and for elements that it lacks those with which it gives
    the energies of the frames. ``recipe.energies`` can be "fit", where all are corrected by the smallest amounts with
    which it does, or "free", where those of `free` come first. A foundation model whose energies do not count from
    free atoms, but from a fit, would be wrong by electronvolts with these.

    Raises
    ------
    TrainingError
        Energies of free atoms make those of the frames worse by more than `TOLERANCE`.
    """
    energies: Mapping[int, float] = foundation.model.energies
    if stand_ins or recipe.energies != "foundation":
        energies = _settle(foundation, stand_ins, choose_covering(own, FITTED), read_free_atoms(free), recipe)
    heads = {OWN_HEAD: energies}
    if replay:
        heads = {REPLAY_HEAD: {**energies, **foundation.model.energies}, **heads}
    return add_heads(extend(foundation.model, stand_ins), heads)


def begin(architecture: Architecture, own: Sequence[Atoms], free: Sequence[Atoms], recipe: Recipe) -> Blueprint:
    """Make the model that is trained from nothing; energies of free atoms are those of `free`, the others fitted."""
    labels = np.array([get_labels(atoms).energy for atoms in own])
    energies = complete(own, labels, read_free_atoms(free), all_elements(own))
    return make_fresh(
        architecture,
        energies,
        scale=forces_scale(own),
        neighbours=count_neighbours(own, architecture.cutoff),
        head=OWN_HEAD,
        seed=recipe.seed,
    )


def _settle(
    foundation: Foundation,
    stand_ins: Mapping[int, int],
    frames: Sequence[Atoms],
    given: Mapping[int, float],
    recipe: Recipe,
) -> dict[int, float]:
    """Return the energy of an atom of each element, eV."""
    calculator, known = _make_calculator(foundation), foundation.model.energies
    targets = np.array([_atomic_part(atoms, stand_ins, known, calculator) for atoms in frames])
    energies = complete(frames, targets, known, list(stand_ins))
    if recipe.energies == "fit":
        left = targets - [add_up(atoms, energies) for atoms in frames]
        corrections = fit_energies(frames, left, all_elements(frames))
        return energies | {number: energies[number] + correction for number, correction in corrections.items()}
    if recipe.energies == "free":
        free = complete(frames, targets, {**known, **given}, list(stand_ins))
        before, after = (compute_error(frames, targets, each) for each in (energies, free))
        if after > before + TOLERANCE:
            raise TrainingError(
                f"With the energies of free atoms the model would begin {after:.2f} eV/atom from the frames",
                f"Without them it is {before:.2f}: {foundation.loaded.name} does not count from such free atoms",
                "Leave out --energies free, or take fit",
            )
        return free
    return energies


def _atomic_part(atoms: Atoms, stand_ins: Mapping[int, int], known: Mapping[int, float], calculator: Any) -> float:
    """Return what the free atoms of a frame are to have, if the model's interactions between them are right."""
    replaced = substitute(atoms, stand_ins)
    interaction = calculator.get_potential_energy(replaced) - add_up(replaced, known)
    return float(get_labels(atoms).energy - interaction)


def _make_calculator(foundation: Foundation) -> Any:
    from ...calculator import MaceMOF

    return MaceMOF(foundation.loaded.path, device="cpu", head=foundation.loaded.head)
