"""The whole way with Hessians: frames are divided, a network is made and trained, packed, and described."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols

from ...backend import import_mace
from ...devices import resolve_device
from ...errors import FramesError, TrainingError
from ...files import encode_figure, encode_json, write_file
from ...frames import get_labels, read_frames, write_frames
from ...models.weights import resolve
from ..finetune.atoms import read_free_atoms
from ..finetune.curves import plot_curves
from ..finetune.division import FREE, divide, read_division, read_labelled, separate
from ..finetune.packing import pack
from ..finetune.recipe import OWN_HEAD, Architecture, Description, Recipe
from ..finetune.run import (
    FIGURE,
    FRAMES,
    RESULT,
    TEST,
    Finetuned,
    check_model_name,
    forget_division,
    read_result,
)
from ..finetune.start import find_stand_ins, read_foundation, tune
from ..hessians import get_hessian
from ..job import Job, digest_input
from ..progress import Track, silently
from .schedule import USUAL, Schedule

if TYPE_CHECKING:
    from ..finetune.curves import HeadErrors
    from ..finetune.extend import Blueprint
    from ..finetune.start import Foundation
    from .loop import Learnt

_PARTS = ("train", "valid", "test")


def finetune_with_hessians(
    frames: Sequence[Path],
    hessians: Path,
    folder: Path,
    name: str,
    *,
    foundation: str | None = None,
    foundation_head: str | None = None,
    recipe: Recipe | None = None,
    architecture: Architecture | None = None,
    schedule: Schedule | None = None,
    description: Description | None = None,
    device: str = "auto",
    track: Track = silently,
) -> Finetuned:
    """Train a model on frames and on Hessians, or go on with it where it was stopped.

    Parameters
    ----------
    frames : sequence of Path
        Files of labelled frames, each with its crystal in ``info["source"]``. Free atoms among them are not trained on.
    hessians : Path
        One labelled minimum with its Hessian of each crystal.
    folder : Path
        For all that comes of it; the same folder goes on.
    name : str
        Of the model.
    foundation : str or None, optional
        Registered name or model file to start from; None to start from nothing.
    foundation_head : str, optional
        Head of a foundation model that has several.
    recipe : Recipe, optional
        Of which `energies` counts, with a foundation model.
    architecture : Architecture, optional
        Of a model that starts from nothing.
    schedule : Schedule, optional
    description : Description, optional
        For its card.
    device : str, optional
        As in `MaceMOF`.
    track : Track, optional

    Returns
    -------
    Finetuned
        Its ``epochs`` are steps.

    Raises
    ------
    FramesError
        A file cannot be read, or a frame lacks labels, its source, or its Hessian.
    TrainingError
        The folder has another training in it, the network is one that cannot be trained like this, crystals and
        Hessians do not belong together, or the loss is not finite.
    UnknownModelError, WeightsError, ModelFileError, UnknownHeadError, DeviceError
        As in `MaceMOF`.
    """
    import_mace()
    from .network import check_network

    check_model_name(name)
    schedule, architecture = schedule or Schedule(), architecture or USUAL
    _check_elements(schedule.elements, foundation, recipe)
    recipe = Recipe(energies=(recipe or Recipe()).energies, seed=schedule.seed)
    description = description or Description()
    settings = {
        "name": name,
        "foundation": foundation,
        "foundation_head": foundation_head,
        "energies": recipe.energies,
        "architecture": None if foundation else asdict(architecture),
        "hessians": digest_input(hessians),
        "schedule": asdict(schedule),
    }
    inputs = [*frames, hessians, *([resolve(foundation)] if foundation else [])]
    job, asked = Job(folder / FRAMES, "finetune", inputs, settings), asdict(description)
    if job.finished and (done := read_result(folder, name, asked)):
        return replace(done, dropped=job.finished.dropped)
    where = resolve_device(device)
    base = None if foundation is None else read_foundation(foundation, foundation_head)
    if base is not None:
        check_network(base.model.hyperparameters)
    cutoff = architecture.cutoff if base is None else base.loaded.r_max
    bound, free = separate(read_labelled(frames), cutoff)
    minima = _read_minima(hessians)
    _check_crystals(minima, bound)
    stand_ins = {} if base is None else find_stand_ins(base, bound)
    manifest = job.finished or divide(job, {OWN_HEAD: bound}, {OWN_HEAD: free}, base, stand_ins, recipe, track)
    groups = read_division(folder / FRAMES)
    own = {part: groups[OWN_HEAD, part] for part in _PARTS}
    try:
        model = _make_model(own, groups[OWN_HEAD, FREE], minima, base, stand_ins, architecture, recipe)
        _check_known(schedule.elements, model)
    except TrainingError:
        forget_division(folder)
        raise
    learnt, test = _train(model, own, minima, schedule, folder, job.question, where, track)
    write_frames(folder / TEST, own["test"])
    write_file(folder / FIGURE, encode_figure(plot_curves(learnt.history, schedule.steps, "step")))
    path = pack(learnt.model, folder / name, description, foundation=base, frames=own["train"], test=[test])
    result: dict[str, Any] = {
        "epochs": schedule.steps,
        "best": schedule.steps,
        "stopped_early": False,
        "test": [asdict(test)],
        "stand_ins": {chemical_symbols[new]: chemical_symbols[old] for new, old in stand_ins.items()},
    }
    write_file(folder / RESULT, encode_json({"asked": asked, **result}))
    return Finetuned(path, **{**result, "test": (test,)}, dropped=manifest.dropped)


def _check_elements(elements: Sequence[str], foundation: str | None, recipe: Recipe | None) -> None:
    if not elements:
        return
    if unknown := [symbol for symbol in elements if symbol not in atomic_numbers]:
        raise TrainingError(f"There is no element {', '.join(unknown)}", "", "Give symbols, such as N Zn")
    if foundation is None:
        raise TrainingError(
            f"Only {', '.join(elements)} is to be trained, of a network that knows nothing yet",
            "",
            "Give a foundation model, or leave the elements out",
        )
    if recipe is not None and recipe.energies != "foundation":
        raise TrainingError(
            f"Only {', '.join(elements)} is to be trained, and energies of all atoms are to be corrected",
            "Structures without these elements would not keep their energies",
            "Leave out one of the two",
        )


def _check_known(elements: Sequence[str], model: Blueprint) -> None:
    known = model.hyperparameters.atomic_numbers
    if missing := [symbol for symbol in elements if atomic_numbers[symbol] not in known]:
        raise TrainingError(
            f"Only {', '.join(missing)} is to be trained, which is in no frame and not in the foundation model",
            "",
            "Give frames with it, or leave it out",
        )


def _read_minima(path: Path) -> dict[str, Atoms]:
    minima: dict[str, Atoms] = {}
    for atoms in read_frames(path):
        get_labels(atoms)
        get_hessian(atoms)
        source = _get_source(atoms)
        if source in minima:
            raise TrainingError(
                f"{path} has two Hessians of {source}", "", "Keep one, or call the crystals differently"
            )
        minima[source] = atoms
    return minima


def _check_crystals(minima: Mapping[str, Atoms], frames: Sequence[Atoms]) -> None:
    sources = dict.fromkeys(_get_source(atoms) for atoms in frames)
    if without := [source for source in sources if source not in minima]:
        raise TrainingError(
            f"There is no Hessian of {', '.join(without)}",
            f"There are those of {', '.join(minima)}",
            "Label its minimum with 'mace-mof label --hessians', or leave its frames out",
        )
    if idle := [source for source in minima if source not in sources]:
        raise TrainingError(
            f"There is a Hessian of {', '.join(idle)}, and no frame",
            "How often a crystal is drawn follows from the number of its frames",
            "Give frames of it, or leave the Hessian out",
        )


def _get_source(atoms: Atoms) -> str:
    if "source" not in atoms.info:
        title = atoms.info.get("name", atoms.get_chemical_formula())
        raise FramesError(
            f"Frame {title} does not say which crystal it is of", "", 'Give all frames their crystal, info["source"]'
        )
    return str(atoms.info["source"])


def _make_model(
    own: Mapping[str, Sequence[Atoms]],
    free: Sequence[Atoms],
    minima: Mapping[str, Atoms],
    base: Foundation | None,
    stand_ins: Mapping[int, int],
    architecture: Architecture,
    recipe: Recipe,
) -> Blueprint:
    from .start import begin

    if base is None:
        model = begin(architecture, list(minima.values()), own["train"], read_free_atoms(free), recipe.seed)
    else:
        model = tune(base, stand_ins, own["train"], free, recipe, replay=False)
    known = {chemical_symbols[number] for number in model.hyperparameters.atomic_numbers}
    everything = [*minima.values(), *(atoms for frames in own.values() for atoms in frames)]
    if unseen := sorted({symbol for atoms in everything for symbol in atoms.symbols} - known):
        raise TrainingError(
            f"{', '.join(unseen)} is in none of the frames to train on",
            "The division put it elsewhere",
            "Give more frames with it",
        )
    return model


def _train(
    model: Blueprint,
    own: Mapping[str, Sequence[Atoms]],
    minima: Mapping[str, Atoms],
    schedule: Schedule,
    folder: Path,
    question: str,
    device: str,
    track: Track,
) -> tuple[Learnt, HeadErrors]:
    from .loop import Data, train
    from .validation import measure_model

    data = Data(own["train"], own["valid"], minima)
    learnt = train(model, data, schedule, folder, question=question, device=device, track=track)
    return learnt, measure_model(learnt.model, own["test"], epoch=schedule.steps)
