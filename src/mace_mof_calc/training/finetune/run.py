"""The whole way: frames are divided, a model is made and trained, packed, and described."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.data import chemical_symbols

from ...backend import import_mace
from ...devices import resolve_device
from ...errors import TrainingError
from ...files import write_file
from ...frames import attach_labels, get_labels, read_frames, write_frames
from ...models.weights import resolve
from ..job import Job, Part, Track, silently
from .atoms import is_free_atom
from .curves import HeadErrors, plot_curves
from .extend import Blueprint
from .graphs import default_dtype, make_graphs
from .loop import Trained, measure, train
from .model import make_trainable
from .packing import Description, pack
from .recipe import OWN_HEAD, REPLAY_HEAD, Architecture, Recipe
from .split import Split, split_by_distance, split_randomly
from .start import Foundation, begin, compute_features, find_stand_ins, read_foundation, tune

FRAMES, TEST, RESULT, FIGURE = "frames.extxyz", "test.extxyz", "result.json", "curves.png"

FREE = "free"
"""The part of a division that free atoms are, beside those that are trained, validated and tested with."""

LEAST_SHARE = 0.1
"""Frames of one's own are repeated until there are so many for each frame of replay, as mace does it."""


@dataclass(frozen=True, slots=True)
class Finetuned:
    """A model that was trained.

    Attributes
    ----------
    path : Path
        JSON file of the packed model.
    epochs, best : int
        Epochs done, and the one that was kept.
    stopped_early : bool
        Whether it ended because nothing had improved.
    test : tuple of HeadErrors
        On frames that were never seen, by head.
    stand_ins : mapping of str to str
        For elements that the foundation model lacked, those that they began as.
    known_before : bool
        Whether all this had been done before.
    """

    path: Path
    epochs: int
    best: int
    stopped_early: bool
    test: tuple[HeadErrors, ...]
    stand_ins: Mapping[str, str]
    known_before: bool = False


def finetune(
    frames: Sequence[Path],
    folder: Path,
    name: str,
    *,
    foundation: str | None = "mp-0b",
    foundation_head: str | None = None,
    replay: Path | None = None,
    recipe: Recipe | None = None,
    architecture: Architecture | None = None,
    description: Description | None = None,
    epochs: int = 100,
    patience: int = 20,
    device: str = "auto",
    track: Track = silently,
) -> Finetuned:
    """Train a model, or go on with it where it was stopped.

    Parameters
    ----------
    frames : sequence of Path
        Files of labelled frames. Free atoms among them give their energies, and are not trained on otherwise.
    folder : Path
        For all that comes of it; the same folder goes on.
    name : str
        Of the model.
    foundation : str or None, optional
        Registered name or model file to start from; None to start from nothing.
    foundation_head : str, optional
        Head of a foundation model that has several.
    replay : Path, optional
        Frames with labels of the foundation model's kind, trained on with a head of their own, so that what it knows is
        not forgotten.
    recipe : Recipe, optional
    architecture : Architecture, optional
        Of a model that starts from nothing.
    description : Description, optional
        For its card.
    epochs, patience : int, optional
        Epochs at most, 0 for a model as it would begin, and those without improvement that end the training.
    device : str, optional
        As in `MaceMOF`.
    track : Track, optional

    Raises
    ------
    FramesError
        A file cannot be read, or a frame has no labels.
    TrainingError
        The folder has another training in it, there are too few frames, or the loss is not finite.
    UnknownModelError, WeightsError, ModelFileError, UnknownHeadError, DeviceError
        As in `MaceMOF`.
    """
    import_mace()
    recipe = recipe or Recipe()
    architecture = architecture or Architecture()
    if foundation is None and (replay is not None or recipe.split == "fps"):
        what = "Replay" if replay is not None else "A division by descriptors"
        raise TrainingError(f"{what} without a foundation model", "It takes one", "Name it, or leave this out")
    if epochs < 0 or patience < 1:
        raise TrainingError(f"{epochs} epochs, with a patience of {patience}", "Patience must be 1 or more", "")
    settings = _settings(name, foundation, foundation_head, recipe, architecture, replay)
    inputs = [*frames, *([replay] if replay else []), *([resolve(foundation)] if foundation else [])]
    job = Job(folder / FRAMES, "finetune", inputs, settings)
    description = description or Description()
    asked = {"epochs": epochs, "patience": patience, **asdict(description)}
    if job.finished and (done := _read_result(folder, name, asked)):
        return done
    where = resolve_device(device)
    base = None if foundation is None else read_foundation(foundation, foundation_head)
    cutoff = architecture.cutoff if base is None else base.loaded.r_max
    own = {OWN_HEAD: [atoms for path in frames for atoms in _read_labelled(path)]}
    given = {REPLAY_HEAD: _read_labelled(replay), **own} if replay else own
    if job.finished is None:
        _divide(job, given, base, cutoff, recipe, track)
    groups = _group(read_frames(folder / FRAMES))
    model, stand_ins = _make_model(groups, base, architecture, recipe, replay=replay is not None)
    trained, test = _train(
        model,
        groups,
        settings["recipe"],
        folder,
        where,
        question=job.question,
        epochs=epochs,
        patience=patience,
        track=track,
    )
    write_frames(folder / TEST, groups[OWN_HEAD, "test"])
    plot_curves(trained.history, trained.best).savefig(folder / FIGURE, dpi=150)
    path = pack(
        Blueprint(model.hyperparameters, trained.state),
        folder / name,
        description,
        foundation=base,
        frames=groups[OWN_HEAD, "train"],
        test=test,
    )
    result: dict[str, Any] = {
        "epochs": trained.epochs,
        "best": trained.best,
        "stopped_early": trained.stopped_early,
        "test": [asdict(each) for each in test],
        "stand_ins": {chemical_symbols[new]: chemical_symbols[old] for new, old in stand_ins.items()},
    }
    write_file(folder / RESULT, (json.dumps({"asked": asked, **result}, indent=1) + "\n").encode())
    return Finetuned(path, **{**result, "test": test})


def count_repeats(own: int, replayed: int) -> int:
    """Return how often each of one's own frames is in an epoch with so many frames of replay."""
    share = own / replayed if replayed else 1.0
    return 1 if share >= LEAST_SHARE else 1 + int(LEAST_SHARE / share)


def _settings(
    name: str,
    foundation: str | None,
    head: str | None,
    recipe: Recipe,
    architecture: Architecture,
    replay: Path | None,
) -> dict[str, Any]:
    return {
        "name": name,
        "foundation": foundation,
        "foundation_head": head,
        "recipe": dict(recipe.describe(tuning=foundation is not None)),
        "architecture": None if foundation else asdict(architecture),
        "replay": replay is not None,
    }


def _read_result(folder: Path, name: str, asked: Mapping[str, Any]) -> Finetuned | None:
    path, model = folder / RESULT, folder / f"{name}.json"
    if not (path.is_file() and model.is_file()):
        return None
    result = json.loads(path.read_bytes())
    if result.pop("asked") != asked:
        return None
    result["test"] = tuple(HeadErrors(**each) for each in result["test"])
    return Finetuned(model, **result, known_before=True)


def _read_labelled(path: Path) -> list[Atoms]:
    return [attach_labels(atoms, get_labels(atoms)) for atoms in read_frames(path)]


def _divide(
    job: Job,
    given: Mapping[str, Sequence[Atoms]],
    base: Foundation | None,
    cutoff: float,
    recipe: Recipe,
    track: Track,
) -> None:
    """Write all frames into one file, each with the head that it is for and its part in the division."""
    bound = {head: [atoms for atoms in own if not is_free_atom(atoms, cutoff)] for head, own in given.items()}
    free = [atoms for atoms in given[OWN_HEAD] if is_free_atom(atoms, cutoff)]
    parts = [Part([_mark(atoms, OWN_HEAD, FREE) for atoms in free])]
    stand_ins = find_stand_ins(base, [a for own in bound.values() for a in own]) if base else {}
    for head, own in bound.items():
        if base is not None and recipe.split == "fps":
            split = split_by_distance(compute_features(base, own, stand_ins, track), recipe.seed)
        else:
            split = split_randomly(len(own), recipe.seed)
        parts.append(Part([_mark(own[k], head, part) for part, k in _list(split)]))
    job.finish(parts)


def _list(split: Split) -> list[tuple[str, int]]:
    named = {"train": split.train, "valid": split.valid, "test": split.test}
    return [(part, int(k)) for part, indices in named.items() for k in indices]


def _mark(atoms: Atoms, head: str, part: str) -> Atoms:
    marked: Atoms = atoms.copy()
    marked.info |= {"head": head, "split": part}
    return marked


def _group(frames: Sequence[Atoms]) -> dict[tuple[str, str], list[Atoms]]:
    groups: dict[tuple[str, str], list[Atoms]] = {(OWN_HEAD, FREE): []}
    for atoms in frames:
        groups.setdefault((atoms.info["head"], atoms.info["split"]), []).append(atoms)
    return groups


def _make_model(
    groups: Mapping[tuple[str, str], list[Atoms]],
    base: Foundation | None,
    architecture: Architecture,
    recipe: Recipe,
    *,
    replay: bool,
) -> tuple[Blueprint, dict[int, int]]:
    own, free = groups[OWN_HEAD, "train"], groups[OWN_HEAD, FREE]
    everything = [atoms for (_, part), frames in groups.items() if part != FREE for atoms in frames]
    if base is None:
        unseen = {s for atoms in everything for s in atoms.symbols} - {s for atoms in own for s in atoms.symbols}
        if unseen:
            raise TrainingError(
                f"{', '.join(sorted(unseen))} is in none of the frames to train on",
                "The division put it elsewhere",
                "Give more frames with it",
            )
        return begin(architecture, own, free, recipe), {}
    stand_ins = find_stand_ins(base, everything)
    return tune(base, stand_ins, own, free, recipe, replay=replay), stand_ins


def _train(
    model: Blueprint,
    groups: Mapping[tuple[str, str], list[Atoms]],
    settings: Mapping[str, Any],
    folder: Path,
    device: str,
    **how: Any,
) -> tuple[Trained, tuple[HeadErrors, ...]]:
    heads = model.hyperparameters.heads
    with default_dtype(settings["dtype"]):
        graphs = {
            key: make_graphs(own, key[0], model.hyperparameters)
            for key, own in groups.items()
            if own and key[1] != FREE
        }
    own = graphs[OWN_HEAD, "train"]
    replayed = graphs.get((REPLAY_HEAD, "train"), [])
    trained = train(
        make_trainable(model, settings["dtype"], device),
        [*replayed, *own * count_repeats(len(own), len(replayed))],
        {head: graphs[head, "valid"] for head in heads},
        settings,
        folder,
        **how,
    )
    best = make_trainable(model, settings["dtype"], device, trained.state)
    return trained, measure(best, {head: graphs[head, "test"] for head in heads}, settings)
