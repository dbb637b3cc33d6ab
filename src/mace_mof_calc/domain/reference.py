"""What a model was trained on, in a file small enough to ship beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

from ..checks import check_structure
from ..errors import DomainError
from ..farthest import choose_farthest
from ..files import parse_json, write_file
from ..models.loading import LoadedModel
from .descriptors import compute_descriptors

Array = np.ndarray[Any, Any]
Pair = tuple[str, str]

SUFFIX = ".domain.safetensors"
"""In the place of the suffix of a model file."""

MOST = 128
"""Environments kept of each element."""

HELD_OUT = 10
"""Every so manieth frame is held out to set the limits."""

QUANTILE = 0.99
"""Share of the held-out environments that lie within the limits."""

_FARTHEST = 100.0  # Angstrom; the cutoffs of models are some 5
_FORMAT = "mace-mof-calc domain 1"


@dataclass(frozen=True, slots=True, eq=False)
class DomainReference:
    """What a model was trained on.

    Attributes
    ----------
    digest : str
        Of the model whose descriptors these are.
    frames : int
        Number of structures of the training set.
    environments : mapping of str to ndarray, shape of each=(environments, features)
        Descriptors of a few environments of each element, spread as evenly as they go.
    limits : mapping of str to float
        Distance from the nearest of `environments` within which `QUANTILE` of held-out environments lie.
    contacts : mapping of (str, str) to float
        Shortest distance of each pair of elements in the training set, symbols in alphabetical order, A; the model's
        cutoff where there is none within it.
    """

    digest: str
    frames: int
    environments: Mapping[str, Array]
    limits: Mapping[str, float]
    contacts: Mapping[Pair, float]


def make_reference(model: LoadedModel, frames: Sequence[Atoms], *, every: int = 1) -> DomainReference:
    """Make the reference of a model from the structures that it was trained on.

    Descriptors are thinned by repeatedly taking the one farthest from all that were taken. Every `HELD_OUT`-th frame
    is left out of this, and tells how far an environment lies that is like the training set's without being one of it.

    Parameters
    ----------
    model : LoadedModel
    frames : sequence of Atoms
        The training set, of elements that the model knows.
    every : int, optional
        Take the descriptors of every so manieth frame alone; contacts are those of all frames.

    Raises
    ------
    DomainError
        There are too few frames, or an element is in too few of them to hold any out.
    StructureError, UnsupportedElementError
        The model cannot evaluate a frame.
    """
    if every < 1:
        raise DomainError(f"Every {every}th structure", "There is no such", "Give 1 or more")
    chosen = frames[::every]
    if len(chosen) < HELD_OUT:
        raise DomainError(
            f"A training set of {len(chosen)} structures",
            f"One in {HELD_OUT} is held out to set the limits",
            "Give more structures, or take more of them",
        )
    numbers = {int(number) for number in model.module.atomic_numbers}  # type: ignore[union-attr]  # a buffer
    for atoms in frames:
        check_structure(atoms, numbers, model.name)
    fitted, held_out = _collect(model, chosen, held_out=False), _collect(model, chosen, held_out=True)
    missing = sorted(set(fitted) ^ set(held_out))
    if missing:
        raise DomainError(
            f"{', '.join(missing)} is in too few structures of the training set",
            f"One in {HELD_OUT} is held out, and the element must be there as well as among the others",
            "Shuffle the structures, or give more",
        )
    kept = {symbol: own[choose_farthest(own, MOST)] for symbol, own in sorted(fitted.items())}
    return DomainReference(
        digest=model.digest,
        frames=len(frames),
        environments={symbol: own.astype(np.float32) for symbol, own in kept.items()},
        limits={s: float(np.quantile(nearest_distances(held_out[s], kept[s]), QUANTILE)) for s in kept},
        contacts=_shortest(frames, sorted(kept), model.r_max),
    )


def nearest_distances(descriptors: Array, reference: Array) -> Array:
    """Return the distance of each descriptor from the nearest of a reference, shape=(descriptors,)."""
    squares = (descriptors**2).sum(axis=1)[:, None] + (reference**2).sum(axis=1) - 2 * descriptors @ reference.T
    nearest: Array = np.sqrt(np.maximum(squares.min(axis=1), 0.0))
    return nearest


def write_reference(reference: DomainReference, path: Path) -> None:
    """Write a reference: tensors, and the rest as JSON in their header."""
    from safetensors.numpy import save

    metadata = {
        "format": _FORMAT,
        "digest": reference.digest,
        "frames": str(reference.frames),
        "limits": json.dumps(dict(reference.limits)),
        "contacts": json.dumps({"-".join(pair): distance for pair, distance in reference.contacts.items()}),
    }
    write_file(path, save({symbol: np.ascontiguousarray(x) for symbol, x in reference.environments.items()}, metadata))


def find_reference(model: LoadedModel) -> DomainReference | None:
    """Return the reference that lies beside a model, or None where there is none.

    Raises
    ------
    DomainError
        The file cannot be read, or belongs to another model.
    """
    path = reference_path(model)
    if not path.is_file():
        return None
    reference = _read(path)
    if reference.digest != model.digest:
        raise DomainError(
            f"{path} belongs to another model than {model.name}",
            f"It was made for {reference.digest}, and this is {model.digest}",
            "Make it anew with 'mace-mof domain', or remove it",
        )
    return reference


def reference_path(model: LoadedModel) -> Path:
    """Return where the reference of a model is looked for."""
    return model.path.with_suffix(SUFFIX)


def _read(path: Path) -> DomainReference:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != _FORMAT:
                raise DomainError(f"{path} is not what this version calls a domain", "", "Make it anew")
            symbols = file.keys()  # the file itself cannot be iterated over
            environments = {symbol: file.get_tensor(symbol).astype(float) for symbol in symbols}
        limits, contacts = (parse_json(metadata[name].encode()) for name in ("limits", "contacts"))
        reference = DomainReference(
            digest=metadata["digest"],
            frames=int(metadata["frames"]),
            environments=environments,
            limits={symbol: float(limits[symbol]) for symbol in environments},
            contacts={_pair(*name.split("-")): float(distance) for name, distance in contacts.items()},
        )
        _check_complete(reference)
    except (SafetensorError, OSError, AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise DomainError(f"{path} cannot be read", f"{type(error).__name__}: {error}", "Make it anew") from error
    return reference


def _check_complete(reference: DomainReference) -> None:
    """Raise a ValueError where a reference cannot be compared with."""
    environments, symbols = reference.environments, sorted(reference.environments)
    if any(each.ndim != 2 or not len(each) or not np.isfinite(each).all() for each in environments.values()):
        raise ValueError("it has environments that are none")
    if not all(0 <= limit < np.inf for limit in reference.limits.values()):
        raise ValueError("it has limits that are none")
    if not all(0 < distance < _FARTHEST for distance in reference.contacts.values()):
        raise ValueError("it has distances that no two neighbours have")
    if missing := set(combinations_with_replacement(symbols, 2)) - set(reference.contacts):
        raise ValueError(f"it has no distance of {'-'.join(min(missing))}")


def _collect(model: LoadedModel, frames: Sequence[Atoms], *, held_out: bool) -> dict[str, Array]:
    found: dict[str, list[Array]] = {}
    for k, atoms in enumerate(frames):
        if (k % HELD_OUT == HELD_OUT // 2) == held_out:
            descriptors = compute_descriptors(model, atoms)
            for symbol in sorted(set(atoms.symbols)):
                found.setdefault(symbol, []).append(descriptors[atoms.symbols == symbol])
    return {symbol: np.concatenate(parts) for symbol, parts in found.items()}


def _shortest(frames: Iterable[Atoms], symbols: Sequence[str], cutoff: float) -> dict[Pair, float]:
    shortest = dict.fromkeys(combinations_with_replacement(symbols, 2), cutoff)
    for atoms in frames:
        # Shorter contacts than those found already are few, and quickly found.
        for i, j, distance in zip(*neighbor_list("ijd", atoms, shortest), strict=True):
            pair = _pair(atoms.symbols[i], atoms.symbols[j])
            shortest[pair] = min(shortest[pair], float(distance))
    return shortest


def _pair(one: str, other: str) -> Pair:
    return (one, other) if one <= other else (other, one)
