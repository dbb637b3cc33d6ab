"""The whole way: frames are divided, a model is made and trained, packed, and described."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.data import chemical_symbols

from ...backend import import_mace
from ...devices import resolve_device
from ...errors import TrainingError
from ...files import encode_figure, encode_json, parse_json, write_file
from ...frames import write_frames
from ...models.own import check_name
from ...models.weights import resolve
from ..job import Job, digest_input
from ..manifest import Dropped, manifest_path
from ..progress import Track, silently
from .curves import HeadErrors, plot_curves
from .division import FREE, divide, read_division, read_labelled, separate
from .extend import Blueprint
from .graphs import default_dtype, make_graphs
from .loop import CHECKPOINT, Trained, train
from .model import all_elements, make_trainable
from .packing import pack
from .recipe import EPOCHS, FOUNDATION, OWN_HEAD, PATIENCE, REPLAY_HEAD, Architecture, Description, Recipe
from .start import Foundation, begin, find_stand_ins, read_foundation, tune
from .validation import measure

FRAMES, TEST, RESULT, FIGURE = "frames.extxyz", "test.extxyz", "result.json", "curves.png"

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
    dropped : tuple of Dropped
        Frames that were left out: free atoms whose energies do not count.
    known_before : bool
        Whether all this had been done before.
    """

    path: Path
    epochs: int
    best: int
    stopped_early: bool
    test: tuple[HeadErrors, ...]
    stand_ins: Mapping[str, str]
    dropped: tuple[Dropped, ...] = ()
    known_before: bool = False


def finetune(
    frames: Sequence[Path],
    folder: Path,
    name: str,
    *,
    foundation: str | None = FOUNDATION,
    foundation_head: str | None = None,
    replay: Path | None = None,
    recipe: Recipe | None = None,
    architecture: Architecture | None = None,
    description: Description | None = None,
    epochs: int = EPOCHS,
    patience: int = PATIENCE,
    device: str = "auto",
    track: Track = silently,
) -> Finetuned:
    """Train a model, or go on with it where it was stopped.

    Parameters
    ----------
    frames : sequence of Path
        Files of labelled frames. Free atoms among them give their energies where there is no foundation model, or the
        recipe says so, and are not trained on.
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
        Something makes no sense, the folder has another training in it, there are too few frames, or the loss is not
        finite.
    UnknownModelError, WeightsError, ModelFileError, UnknownHeadError, DeviceError
        As in `MaceMOF`.
    """
    import_mace()
    check_model_name(name)
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
    if job.finished and (done := read_result(folder, name, asked)):
        return replace(done, dropped=job.finished.dropped)
    where = resolve_device(device)
    base = None if foundation is None else read_foundation(foundation, foundation_head)
    files = {REPLAY_HEAD: [replay], OWN_HEAD: frames} if replay else {OWN_HEAD: frames}
    cutoff = architecture.cutoff if base is None else base.loaded.r_max
    given = {head: separate(read_labelled(paths), cutoff) for head, paths in files.items()}
    bound, free = ({head: both[k] for head, both in given.items()} for k in (0, 1))
    stand_ins = {} if base is None else _compare(base, bound)
    manifest = job.finished or divide(job, bound, free, base, stand_ins, recipe, track)
    groups = read_division(folder / FRAMES)
    try:
        model = _make_model(groups, base, stand_ins, architecture, recipe)
    except TrainingError:
        forget_division(folder)
        raise
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
    write_file(folder / FIGURE, encode_figure(plot_curves(trained.history, trained.best)))
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
    write_file(folder / RESULT, encode_json({"asked": asked, **result}))
    return Finetuned(path, **{**result, "test": test}, dropped=manifest.dropped)


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
        # By its content: it is among the inputs, too, but these do not say which of them it is.
        "replay": replay is not None and digest_input(replay),
    }


def read_result(folder: Path, name: str, asked: Mapping[str, Any]) -> Finetuned | None:
    """Return what a folder has of a finished training, if the same was asked for."""
    path, model = folder / RESULT, folder / f"{name}.json"
    if not (path.is_file() and model.is_file()):
        return None
    try:
        result = parse_json(path.read_bytes())
        if result.pop("asked") != asked:
            return None
        result["test"] = tuple(HeadErrors(**each) for each in result["test"])
        found = Finetuned(model, **result, known_before=True)
        _check(found)
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(
            f"{path} is no result of a training", f"{type(error).__name__}: {error}", "Remove it, to have it made again"
        ) from error
    return found


def _check(found: Finetuned) -> None:
    """Raise a TypeError where a result was read that was never written."""
    numbers = [
        found.epochs,
        found.best,
        *(rmse for each in found.test for rmse in (each.energy_rmse, each.forces_rmse)),
    ]
    numbers += [each.stress_rmse for each in found.test if each.stress_rmse is not None]
    if not all(isinstance(number, int | float) for number in numbers) or not isinstance(found.stand_ins, Mapping):
        raise TypeError("it has something else where a number or a table should be")


def check_model_name(name: str) -> None:
    """Refuse a name that no model can have, or whose file would be another of the training's."""
    check_name(name)
    if f"{name}.json" in (RESULT, manifest_path(Path(FRAMES)).name):
        raise TrainingError(f"A model cannot be called {name!r}", "A file of its training is", "Take another name")


def forget_division(folder: Path) -> None:
    """Remove a division that no training can begin with, so that other settings are not refused in its folder."""
    if not (folder / CHECKPOINT).is_file():
        for path in (folder / FRAMES, manifest_path(folder / FRAMES)):
            path.unlink(missing_ok=True)


def _compare(base: Foundation, bound: Mapping[str, Sequence[Atoms]]) -> dict[int, int]:
    """Return the known element that each one begins as which the foundation model lacks."""
    stand_ins = find_stand_ins(base, bound[OWN_HEAD])
    known = base.model.hyperparameters.atomic_numbers
    _refuse(
        set(all_elements(bound.get(REPLAY_HEAD, ()))).difference(known),
        "the frames of replay, and the foundation model lacks it",
        "Its labels cannot be of the kind that it was trained on",
        "Give these frames as your own",
    )
    return stand_ins


def _make_model(
    groups: Mapping[tuple[str, str], list[Atoms]],
    base: Foundation | None,
    stand_ins: Mapping[int, int],
    architecture: Architecture,
    recipe: Recipe,
) -> Blueprint:
    own, free = groups[OWN_HEAD, "train"], groups[OWN_HEAD, FREE]
    everything = [atoms for (_, part), frames in groups.items() if part != FREE for atoms in frames]
    _refuse(
        set(stand_ins if base else all_elements(everything)).difference(all_elements(own)),
        "none of the frames to train on",
        "The division put it elsewhere",
        "Give more frames with it",
    )
    if base is None:
        return begin(architecture, own, free, recipe)
    return tune(base, stand_ins, own, free, recipe, replay=(REPLAY_HEAD, "train") in groups)


def _refuse(numbers: set[int], where: str, why: str, remedy: str) -> None:
    if numbers:
        symbols = ", ".join(chemical_symbols[number] for number in sorted(numbers))
        raise TrainingError(f"{symbols} is in {where}", why, remedy)


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
