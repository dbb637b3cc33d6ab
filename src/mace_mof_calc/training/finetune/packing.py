"""The finished model as a packed one, with its card, its fingerprint, and the record of what it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.data import chemical_symbols

from ... import structures
from ...domain.reference import make_reference, reference_path, write_reference
from ...errors import DomainError
from ...models.architecture import build_module
from ...models.cards import ModelCard
from ...models.fingerprints import record_fingerprint
from ...models.loading import load
from ...models.packed import save_packed
from .curves import HeadErrors
from .extend import Blueprint
from .model import all_elements
from .recipe import NOT_STATED, REPLAY_HEAD, Description
from .start import Foundation

_OLDEST_MACE = "0.3.8"


def pack(
    model: Blueprint,
    stem: Path,
    description: Description,
    *,
    foundation: Foundation | None,
    frames: Sequence[Atoms],
    test: Sequence[HeadErrors],
) -> Path:
    """Pack a model under a path without suffix, and return the JSON file.

    A fingerprint is recorded on the first structure of this package whose elements the model has, if any; the record of
    `domain.reference` is made of `frames`, if they are enough.
    """
    import torch

    module = build_module(model.hyperparameters, model.state, dtype=torch.float64)
    path = save_packed(module, stem, _make_card(model, stem.name, description, foundation, frames, test))
    symbols = {chemical_symbols[number] for number in model.hyperparameters.atomic_numbers}
    for structure in structures.names():
        if symbols.issuperset(structures.load(structure).symbols):
            record_fingerprint(path, structure)
            break
    loaded = load(path)
    reference_path(loaded).unlink(missing_ok=True)
    try:
        reference = make_reference(loaded, frames)
    except DomainError:  # too few frames
        return path
    write_reference(reference, reference_path(loaded))
    return path


def _make_card(
    model: Blueprint,
    name: str,
    description: Description,
    foundation: Foundation | None,
    frames: Sequence[Atoms],
    test: Sequence[HeadErrors],
) -> dict[str, Any]:
    card: ModelCard | None = None if foundation is None else foundation.loaded.card
    inherited = card is not None and card.dispersion_included
    how = "Trained from nothing" if foundation is None else f"Fine-tuned from {foundation.loaded.name}"
    with_replay = ", with replay" if REPLAY_HEAD in model.hyperparameters.heads else ""
    return {
        "name": name,
        "title": how,
        "level_of_theory": description.level_of_theory,
        "dispersion_included": inherited if description.dispersion is None else description.dispersion,
        "elements": [chemical_symbols[number] for number in model.hyperparameters.atomic_numbers],
        "curated_elements": [chemical_symbols[number] for number in all_elements(frames)],
        "licence": NOT_STATED if card is None else f"{card.licence} (of {card.name})",
        "citation": "" if card is None else card.citation,
        "doi": "" if card is None else card.doi,
        "mace_version": _OLDEST_MACE,
        "notes": f"{how} on {len(frames)} frames of one's own{with_replay}.",
        "validation": [row for errors in test for row in _make_rows(errors)],
    }


def _make_rows(errors: HeadErrors) -> list[dict[str, Any]]:
    found = {
        "energy RMSE / (meV/atom)": errors.energy_rmse,
        "forces RMSE / (meV/A)": errors.forces_rmse,
        "stress RMSE / (meV/A^3)": errors.stress_rmse,
    }
    return [
        {
            "quantity": f"frames never seen, head {errors.head}: {name}",
            "result": f"{1e3 * value:.3g}",
            "criterion": None,
            "met": None,
        }
        for name, value in found.items()
        if value is not None
    ]
