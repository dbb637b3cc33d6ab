"""Command ``mace-mof finetune``: a model from labelled frames."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import TrainingError
from ..files import write_file
from ..models.own import check_free, find_own, register
from ..models.weights import compute_digest
from ..training.curvature.schedule import USUAL, Schedule
from ..training.finetune.recipe import (
    DIVISIONS,
    ENERGIES,
    EPOCHS,
    FOUNDATION,
    FROM_NOTHING,
    PATIENCE,
    PRECISIONS,
    TUNING,
    Architecture,
    Description,
    Recipe,
)
from .progress import show

if TYPE_CHECKING:
    from ..training.finetune.run import Finetuned

_NO_FOUNDATION = "none"

_WITH_HESSIANS = ("steps", "rates", "tighten", "draws", "elements")
_WITHOUT_HESSIANS = ("replay", "split", "weights", "lr", "ema", "epochs", "patience", "dtype")
_WITH_FOUNDATION = ("foundation_head", "energies", "replay")
_WITHOUT_FOUNDATION = ("channels", "cutoff", "layers", "correlation")
"""Options that have a meaning with Hessians alone, and without them alone, and the same of a foundation model."""

_REGISTERED = "registered"
"""File in the folder of a training, with the digest of the model that it last registered."""


def add_parser(commands: Any) -> None:
    """Add the parser of this command."""
    parser = commands.add_parser("finetune", help="train a model on labelled frames, and register it")
    parser.add_argument("frames", nargs="+", type=Path, metavar="FILE", help="labelled frames, extxyz")
    parser.add_argument("--name", required=True, help="of the model; the name that it will be found by")
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="for all that comes of it (default: NAME)")
    parser.add_argument(
        "--foundation",
        default=FOUNDATION,
        metavar="MODEL",
        help="name or file of the model to start from; none to start from nothing (default: %(default)s)",
    )
    parser.add_argument("--foundation-head", metavar="HEAD", help="of a foundation model with several")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="frames labelled as the foundation model's were")
    _add_recipe(parser, Recipe())
    _add_architecture(parser.add_argument_group("from nothing (--foundation none)"), Architecture())
    _add_schedule(parser.add_argument_group("with Hessians, in place of --lr, --epochs and others"), Schedule())
    _add_card(parser.add_argument_group("of the model's card"), Description())
    parser.set_defaults(command=_finetune, parser=parser)


def _add_recipe(parser: argparse.ArgumentParser, default: Recipe) -> None:
    parser.add_argument(
        "--split", choices=DIVISIONS, default=default.split, help="85 to 7.5 to 7.5 (default: %(default)s)"
    )
    parser.add_argument(
        "--weights",
        nargs=3,
        type=float,
        default=default.weights,
        metavar=("E", "F", "S"),
        help=f"of energy, forces and stress in the loss (default: {' '.join(f'{x:g}' for x in default.weights)})",
    )
    rate, decay = ([f"{each[name]:g}" for each in (TUNING, FROM_NOTHING)] for name in ("learning_rate", "averaging"))
    parser.add_argument("--lr", type=float, help=f"learning rate (default: {rate[0]}; {rate[1]} from nothing)")
    parser.add_argument(
        "--ema",
        type=float,
        metavar="DECAY",
        help=f"of the average (default: {decay[0]}; {decay[1]} from nothing)",
    )
    parser.add_argument(
        "--batch", type=int, default=default.batch, metavar="N", help="frames of a step (default: %(default)s)"
    )
    parser.add_argument(
        "--epochs",
        type=int,
        default=EPOCHS,
        metavar="N",
        help="at most; 0: how it would begin (default: %(default)s)",
    )
    parser.add_argument(
        "--patience",
        type=int,
        default=PATIENCE,
        metavar="N",
        help="epochs without improvement (default: %(default)s)",
    )
    parser.add_argument(
        "--energies",
        choices=ENERGIES,
        default=default.energies,
        help="of atoms, where there is a foundation model: its own, those of free atoms among the frames, or its own "
        "corrected by a fit (default: %(default)s)",
    )
    parser.add_argument("--dtype", choices=PRECISIONS, default=default.dtype, help="default: %(default)s")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1 (default: auto)")
    parser.add_argument("--seed", type=int, default=default.seed, help="default: %(default)s")


def _add_architecture(group: Any, default: Architecture) -> None:
    of = "(default: %(default)s)"
    group.add_argument(
        "--channels",
        type=int,
        metavar="N",
        help=f"features of each degree (default: {default.channels}; {USUAL.channels} with Hessians)",
    )
    group.add_argument(
        "--cutoff",
        type=float,
        metavar="A",
        help=f"of a layer, in A (default: {default.cutoff:g}; {USUAL.cutoff:g} with Hessians)",
    )
    group.add_argument("--layers", type=int, default=default.layers, metavar="N", help="default: %(default)s")
    group.add_argument(
        "--correlation", type=int, default=default.correlation, metavar="N", help=f"factors in products {of}"
    )


def _add_schedule(group: Any, default: Schedule) -> None:
    group.add_argument(
        "--hessians", type=Path, metavar="FILE", help="minima with Hessians, from mace-mof label --hessians"
    )
    group.add_argument("--steps", type=int, default=default.steps, metavar="N", help="default: %(default)s")
    group.add_argument(
        "--rates",
        nargs=2,
        type=float,
        default=default.rates,
        metavar=("FIRST", "LAST"),
        help=f"learning rates (default: {' '.join(f'{x:g}' for x in default.rates)})",
    )
    group.add_argument(
        "--tighten",
        nargs=2,
        type=float,
        default=default.tighten,
        metavar=("BEGIN", "END"),
        help="scales of errors at the start and from 60 %% of the steps on, 0 loose to 1 tight "
        f"(default: {' '.join(f'{x:g}' for x in default.tighten)})",
    )
    group.add_argument(
        "--draws",
        type=int,
        default=default.draws,
        metavar="N",
        help="of a crystal and a batch, computed side by side; a step averages over them (default: %(default)s)",
    )
    group.add_argument(
        "--elements",
        nargs="+",
        default=default.elements,
        metavar="SYMBOL",
        help="train what the network has for these elements alone: structures without them keep their results",
    )


def _add_card(group: Any, default: Description) -> None:
    group.add_argument("--level-of-theory", default=default.level_of_theory, metavar="TEXT", help="of the labels")
    group.add_argument(
        "--dispersion",
        action=argparse.BooleanOptionalAction,
        default=default.dispersion,
        help="whether dispersion is in the labels (default: as in those of the foundation model)",
    )
    group.add_argument(
        "--register",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="put the model where it is found by name (default: yes)",
    )
    group.add_argument("--replace", action="store_true", help="take the place of a model of your own of that name")


def _finetune(arguments: argparse.Namespace) -> int:

    with_hessians = arguments.hessians is not None
    if with_hessians:
        _refuse(arguments, _WITHOUT_HESSIANS, "with --hessians")
    else:
        _refuse(arguments, _WITH_HESSIANS, "without --hessians")
    if arguments.foundation == _NO_FOUNDATION:
        _refuse(arguments, _WITH_FOUNDATION, f"with --foundation {_NO_FOUNDATION}")
    else:
        _refuse(arguments, _WITHOUT_FOUNDATION, f"without --foundation {_NO_FOUNDATION}")
    folder = arguments.output or Path(arguments.name)
    replace = arguments.replace or _goes_on(arguments.name, folder)
    if arguments.register:
        check_free(arguments.name, replace=replace)
    found = (_train_with_hessians if with_hessians else _train)(arguments, folder)
    _print(found, "steps" if with_hessians else "epochs")
    if arguments.register:
        print(f"registered as {arguments.name}: {register(found.path, arguments.name, replace=replace)}")
        _remember(arguments.name, folder)
    return 0


def _train(arguments: argparse.Namespace, folder: Path) -> Finetuned:
    from ..training.finetune.run import finetune

    return finetune(
        arguments.frames,
        folder,
        arguments.name,
        foundation=None if arguments.foundation == _NO_FOUNDATION else arguments.foundation,
        foundation_head=arguments.foundation_head,
        replay=arguments.replay,
        recipe=_read_recipe(arguments),
        architecture=_read_architecture(arguments, Architecture()),
        description=Description(arguments.level_of_theory, arguments.dispersion),
        epochs=arguments.epochs,
        patience=arguments.patience,
        device=arguments.device,
        track=show,
    )


def _train_with_hessians(arguments: argparse.Namespace, folder: Path) -> Finetuned:
    from ..training.curvature.run import finetune_with_hessians

    return finetune_with_hessians(
        arguments.frames,
        arguments.hessians,
        folder,
        arguments.name,
        foundation=None if arguments.foundation == _NO_FOUNDATION else arguments.foundation,
        foundation_head=arguments.foundation_head,
        recipe=_read_recipe(arguments),
        architecture=_read_architecture(arguments, USUAL),
        schedule=Schedule(
            steps=arguments.steps,
            rates=tuple(arguments.rates),
            tighten=tuple(arguments.tighten),
            batch=arguments.batch,
            draws=arguments.draws,
            seed=arguments.seed,
            elements=tuple(arguments.elements),
        ),
        description=Description(arguments.level_of_theory, arguments.dispersion),
        device=arguments.device,
        track=show,
    )


def _refuse(arguments: argparse.Namespace, names: Sequence[str], where: str) -> None:
    """Refuse options that have no meaning, told by another value than where they are not given."""
    given = [name for name in names if getattr(arguments, name) != arguments.parser.get_default(name)]
    if given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise TrainingError(f"{options} {where}", "It has no meaning there", "Leave it out")


def _read_recipe(arguments: argparse.Namespace) -> Recipe:
    return Recipe(
        weights=tuple(arguments.weights),
        learning_rate=arguments.lr,
        averaging=arguments.ema,
        batch=arguments.batch,
        split=arguments.split,
        energies=arguments.energies,
        dtype=arguments.dtype,
        seed=arguments.seed,
    )


def _read_architecture(arguments: argparse.Namespace, usual: Architecture) -> Architecture:
    return replace(
        usual,
        channels=usual.channels if arguments.channels is None else arguments.channels,
        cutoff=usual.cutoff if arguments.cutoff is None else arguments.cutoff,
        layers=arguments.layers,
        correlation=arguments.correlation,
    )


def _goes_on(name: str, folder: Path) -> bool:
    """Return whether the registered model of that name came of the training in a folder, and keep that it did.

    It did if it is what lies there, or what was registered from there: a kill may have come after the training went on
    and packed another, and before that was registered.
    """
    made, record = folder / f"{name}.json", folder / _REGISTERED
    if (registered := _digest_own(name)) is None:
        return False
    if made.is_file() and compute_digest(made, "sha256") == registered:
        _remember(name, folder)
        return True
    return record.is_file() and record.read_bytes() == registered.encode()


def _digest_own(name: str) -> str | None:
    return None if (path := find_own(name)) is None else compute_digest(path, "sha256")


def _remember(name: str, folder: Path) -> None:
    digest, record = (_digest_own(name) or "").encode(), folder / _REGISTERED
    if not (record.is_file() and record.read_bytes() == digest):
        write_file(record, digest)


def _print(found: Finetuned, unit: str) -> None:
    for each in found.dropped:
        print(f"left out: {each.name}, {each.reason}")
    for new, known in found.stand_ins.items():
        print(f"{new} is new to the foundation model; it began as {known}")
    how = "stopped early" if found.stopped_early else "all done"
    before = " (done before)" if found.known_before else ""
    print(f"{found.epochs} {unit}, {how}; the best was {found.best}{before}")
    for errors in found.test:
        stress = "" if errors.stress_rmse is None else f", {1e3 * errors.stress_rmse:.3g} meV/A^3"
        print(
            f"  RMSE on frames never seen, head {errors.head}: {1e3 * errors.energy_rmse:.3g} meV/atom, "
            f"{1e3 * errors.forces_rmse:.3g} meV/A{stress}"
        )
    print(found.path)
