"""What is outside of a model's training in a structure, atom by atom."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

from ..checks import name_atoms
from ..models.cards import OPEN_SHELL, ModelCard
from ..models.loading import LoadedModel
from .descriptors import compute_descriptors
from .reference import DomainReference, nearest_distances

Array = np.ndarray[Any, Any]
Kind = Literal["element", "open-shell", "contact", "environment"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in a structure that a model was not trained on.

    Attributes
    ----------
    kind : str
        ``element``, ``open-shell``, ``contact`` or ``environment``.
    atoms : tuple of int
        Which atoms, counted from 0.
    symbols : tuple of str
        Their elements.
    message : str
        One sentence that names them.
    """

    kind: Kind
    atoms: tuple[int, ...]
    symbols: tuple[str, ...]
    message: str

    def describe(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def available_checks(card: ModelCard | None, reference: DomainReference | None) -> tuple[Kind, ...]:
    """Return the kinds of findings that a model's card and the reference beside it suffice for."""
    if reference is not None:
        return ("element", "open-shell", "contact", "environment")
    return ("element", "open-shell") if card is not None and card.curated_elements else ("open-shell",)


def check_domain(atoms: Atoms, model: LoadedModel, reference: DomainReference | None) -> tuple[Finding, ...]:
    """Find what is outside of a model's training.

    Parameters
    ----------
    atoms : Atoms
        Of elements that the model has parameters for.
    model : LoadedModel
    reference : DomainReference or None
        What it was trained on; without it contacts and environments are not looked at.
    """
    trained = None if reference is None else tuple(reference.environments)
    found = list(check_elements(atoms, model.name, model.card, trained))
    if reference is not None:
        found += _check_contacts(atoms, model.name, reference)
        found += _check_environments(atoms, model, reference)
    return tuple(found)


def check_elements(
    atoms: Atoms, name: str, card: ModelCard | None, trained: Collection[str] | None = None
) -> Iterator[Finding]:
    """Find elements that a model, known by its card alone, was not trained on, and open-shell metals.

    Parameters
    ----------
    atoms : Atoms
    name : str
        What to call the model.
    card : ModelCard or None
        Its curated set counts, where it has one.
    trained : collection of str, optional
        Elements of the training set, where that is known better.
    """
    inside = trained if trained is not None else card.curated_elements if card is not None else ()
    for symbol in dict.fromkeys(atoms.symbols):
        own = np.flatnonzero(atoms.symbols == symbol)
        if inside and symbol not in inside:
            yield _make(
                "element",
                atoms,
                own,
                f"{symbol} ({name_atoms(own)}) is not in the set that {name} was trained on",
            )
        if symbol in OPEN_SHELL:
            yield _make(
                "open-shell",
                atoms,
                own,
                f"{symbol} ({name_atoms(own)}) has unpaired electrons as a rule, and {name} knows no spin",
            )


def _check_contacts(atoms: Atoms, name: str, reference: DomainReference) -> Iterator[Finding]:
    present = set(atoms.symbols)
    shortest = {pair: limit for pair, limit in reference.contacts.items() if present.issuperset(pair)}
    first, second, distances = neighbor_list("ijd", atoms, shortest) if shortest else ([], [], np.empty(0))
    symbols = np.array(atoms.get_chemical_symbols())
    for pair, limit in shortest.items():
        joined = (symbols[first] == pair[0]) & (symbols[second] == pair[1])
        if joined.any():
            own = np.unique([first[joined], second[joined]])
            yield _make(
                "contact",
                atoms,
                own,
                f"{pair[0]} and {pair[1]} are down to {distances[joined].min():.3f} A apart ({name_atoms(own)}), and "
                f"never nearer than {limit:.3f} A in what {name} was trained on",
            )


def _check_environments(atoms: Atoms, model: LoadedModel, reference: DomainReference) -> Iterator[Finding]:
    descriptors = compute_descriptors(model, atoms)
    for symbol, limit in reference.limits.items():
        own = np.flatnonzero(atoms.symbols == symbol)
        ratios = nearest_distances(descriptors[own], reference.environments[symbol]) / limit
        far = own[ratios > 1]
        if len(far):
            yield _make(
                "environment",
                atoms,
                far,
                f"{symbol} ({name_atoms(far)}) has surroundings unlike any that {model.name} was trained on, up to "
                f"{ratios.max():.1f} times farther than 99 % of held-out ones",
            )


def _make(kind: Kind, atoms: Atoms, own: Array, message: str) -> Finding:
    return Finding(kind, tuple(own.tolist()), tuple(atoms.symbols[k] for k in own), f"{message}.")
