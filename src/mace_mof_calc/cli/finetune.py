"""Command ``mace-mof finetune``: a model from labelled frames."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import TrainingError
from ..models.own import check_free, find_own, register
from .progress import show

if TYPE_CHECKING:
    from ..training.finetune.recipe import Architecture
    from ..training.finetune.run import Finetuned

_FROM_NOTHING = "none"


def add_parser(commands: Any) -> None:
    """Add the parser of this command."""
    parser = commands.add_parser("finetune", help="train a model on labelled frames, and register it")
    parser.add_argument("frames", nargs="+", type=Path, metavar="FILE", help="labelled frames, extxyz")
    parser.add_argument("--name", required=True, help="of the model; the name that it will be found by")
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="for all that comes of it (default: NAME)")
    parser.add_argument(
        "--foundation",
        default="mp-0b",
        metavar="MODEL",
        help="name or file of the model to start from; none to start from nothing (default: mp-0b)",
    )
    parser.add_argument("--foundation-head", metavar="HEAD", help="of a foundation model with several")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="frames labelled as the foundation model's were")
    _add_recipe(parser)
    _add_architecture(parser.add_argument_group("from nothing (--foundation none)"))
    _add_schedule(parser.add_argument_group("with Hessians, in place of --lr, --epochs and others"))
    card = parser.add_argument_group("of the model's card")
    card.add_argument("--level-of-theory", default="not stated", metavar="TEXT", help="of the labels")
    card.add_argument(
        "--dispersion",
        action=argparse.BooleanOptionalAction,
        help="whether dispersion is in the labels (default: as in those of the foundation model)",
    )
    card.add_argument(
        "--register",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="put the model where it is found by name (default: yes)",
    )
    card.add_argument("--replace", action="store_true", help="take the place of a model of your own of that name")
    parser.set_defaults(command=_finetune, parser=parser)


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--split", choices=("random", "fps"), default="random", help="85 to 7.5 to 7.5 (default: random)"
    )
    parser.add_argument(
        "--weights",
        nargs=3,
        type=float,
        default=(1.0, 10.0, 100.0),
        metavar=("E", "F", "S"),
        help="of energy, forces and stress in the loss (default: 1 10 100)",
    )
    parser.add_argument("--lr", type=float, help="learning rate (default: 1e-4; 1e-2 from nothing)")
    parser.add_argument(
        "--ema", type=float, metavar="DECAY", help="of the average (default: 0.99999; 0.99 from nothing)"
    )
    parser.add_argument("--batch", type=int, default=4, metavar="N", help="frames of a step (default: 4)")
    parser.add_argument(
        "--epochs", type=int, default=100, metavar="N", help="at most; 0: how it would begin (default: 100)"
    )
    parser.add_argument(
        "--patience", type=int, default=20, metavar="N", help="epochs without improvement (default: 20)"
    )
    parser.add_argument(
        "--energies",
        choices=("foundation", "fit"),
        default="foundation",
        help="of free atoms that are not among the frames (default: foundation)",
    )
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64", help="default: float64")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1 (default: auto)")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")


def _add_architecture(group: Any) -> None:
    group.add_argument(
        "--channels", type=int, metavar="N", help="features of each degree (default: 128; 64 with Hessians)"
    )
    group.add_argument("--cutoff", type=float, metavar="A", help="of a layer, in A (default: 6; 5 with Hessians)")
    group.add_argument("--layers", type=int, default=2, metavar="N", help="default: 2")
    group.add_argument("--correlation", type=int, default=3, metavar="N", help="factors in products (default: 3)")


def _add_schedule(group: Any) -> None:
    group.add_argument(
        "--hessians", type=Path, metavar="FILE", help="minima with Hessians, from mace-mof label --hessians"
    )
    group.add_argument("--steps", type=int, metavar="N", help="default: 5000")
    group.add_argument(
        "--rates", nargs=2, type=float, metavar=("FIRST", "LAST"), help="learning rates (default: 7e-3 1e-5)"
    )
    group.add_argument(
        "--tighten",
        nargs=2,
        type=float,
        metavar=("BEGIN", "END"),
        help="scales of errors at the start and from 60 %% of the steps on, 0 loose to 1 tight (default: 0 0.5)",
    )


def _finetune(arguments: argparse.Namespace) -> int:
    folder = arguments.output or Path(arguments.name)
    replace = arguments.replace or _goes_on(arguments.name, folder)
    if arguments.register:
        check_free(arguments.name, replace=replace)
    folder.mkdir(parents=True, exist_ok=True)
    found = (_train if arguments.hessians is None else _train_with_hessians)(arguments, folder)
    _print(found, with_hessians=arguments.hessians is not None)
    if arguments.register:
        print(f"registered as {arguments.name}: {register(found.path, arguments.name, replace=replace)}")
    return 0


def _train(arguments: argparse.Namespace, folder: Path) -> Finetuned:
    from ..training.finetune.packing import Description
    from ..training.finetune.recipe import Architecture, Recipe
    from ..training.finetune.run import finetune

    _refuse(arguments, ("steps", "rates", "tighten"), "without --hessians")
    return finetune(
        arguments.frames,
        folder,
        arguments.name,
        foundation=None if arguments.foundation == _FROM_NOTHING else arguments.foundation,
        foundation_head=arguments.foundation_head,
        replay=arguments.replay,
        recipe=Recipe(
            weights=tuple(arguments.weights),
            learning_rate=arguments.lr,
            averaging=arguments.ema,
            batch=arguments.batch,
            split=arguments.split,
            energies=arguments.energies,
            dtype=arguments.dtype,
            seed=arguments.seed,
        ),
        architecture=_make_architecture(arguments, Architecture()),
        description=Description(arguments.level_of_theory, arguments.dispersion),
        epochs=arguments.epochs,
        patience=arguments.patience,
        device=arguments.device,
        track=show,
    )


def _train_with_hessians(arguments: argparse.Namespace, folder: Path) -> Finetuned:
    from ..training.curvature.run import finetune_with_hessians
    from ..training.curvature.schedule import USUAL, Schedule
    from ..training.finetune.packing import Description
    from ..training.finetune.recipe import Recipe

    _refuse(
        arguments,
        ("replay", "split", "weights", "lr", "ema", "epochs", "patience", "dtype"),
        "together with --hessians",
    )
    chosen: dict[str, Any] = {name: getattr(arguments, name) for name in ("steps", "rates", "tighten")}
    return finetune_with_hessians(
        arguments.frames,
        arguments.hessians,
        folder,
        arguments.name,
        foundation=None if arguments.foundation == _FROM_NOTHING else arguments.foundation,
        foundation_head=arguments.foundation_head,
        recipe=Recipe(energies=arguments.energies),
        architecture=_make_architecture(arguments, USUAL),
        schedule=Schedule(
            batch=arguments.batch,
            seed=arguments.seed,
            **{name: value for name, value in chosen.items() if value is not None},
        ),
        description=Description(arguments.level_of_theory, arguments.dispersion),
        device=arguments.device,
        track=show,
    )


def _make_architecture(arguments: argparse.Namespace, usual: Architecture) -> Architecture:
    return replace(
        usual,
        channels=usual.channels if arguments.channels is None else arguments.channels,
        cutoff=usual.cutoff if arguments.cutoff is None else arguments.cutoff,
        layers=arguments.layers,
        correlation=arguments.correlation,
    )


def _refuse(arguments: argparse.Namespace, names: Sequence[str], where: str) -> None:
    """Refuse options that have another value than where they are not given."""
    given = [name for name in names if getattr(arguments, name) != arguments.parser.get_default(name)]
    if given:
        raise TrainingError(
            f"{', '.join(f'--{name}' for name in given)} {where}", "There it has no meaning", "Leave it out"
        )


def _goes_on(name: str, folder: Path) -> bool:
    """Return whether the registered model of that name is what the training in a folder has made so far."""
    registered, made = find_own(name), folder / f"{name}.json"
    return registered is not None and made.is_file() and registered.read_bytes() == made.read_bytes()


def _print(found: Finetuned, *, with_hessians: bool) -> None:
    for new, known in found.stand_ins.items():
        print(f"{new} is new to the foundation model; it began as {known}")
    how = "stopped early" if found.stopped_early else "all done"
    before = " (done before)" if found.known_before else ""
    if with_hessians:
        print(f"{found.epochs} steps, {how}{before}")
    else:
        print(f"{found.epochs} epochs, {how}; the best was {found.best}{before}")
    for errors in found.test:
        stress = "" if errors.stress_rmse is None else f", {1e3 * errors.stress_rmse:.3g} meV/A^3"
        print(
            f"  RMSE on frames never seen, head {errors.head}: {1e3 * errors.energy_rmse:.3g} meV/atom, "
            f"{1e3 * errors.forces_rmse:.3g} meV/A{stress}"
        )
    print(found.path)
