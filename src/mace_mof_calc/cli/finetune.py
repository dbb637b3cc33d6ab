"""Command ``mace-mof finetune``: a model from labelled frames."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..models.own import check_free, find_own, register
from .progress import show

if TYPE_CHECKING:
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
    parser.set_defaults(command=_finetune)


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
    group.add_argument("--channels", type=int, default=128, metavar="N", help="features of each degree (default: 128)")
    group.add_argument("--cutoff", type=float, default=6.0, metavar="A", help="of a layer, in A (default: 6)")
    group.add_argument("--layers", type=int, default=2, metavar="N", help="default: 2")
    group.add_argument("--correlation", type=int, default=3, metavar="N", help="factors in products (default: 3)")


def _finetune(arguments: argparse.Namespace) -> int:
    from ..training.finetune.packing import Description
    from ..training.finetune.recipe import Architecture, Recipe
    from ..training.finetune.run import finetune

    folder = arguments.output or Path(arguments.name)
    replace = arguments.replace or _goes_on(arguments.name, folder)
    if arguments.register:
        check_free(arguments.name, replace=replace)
    folder.mkdir(parents=True, exist_ok=True)
    found = finetune(
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
        architecture=Architecture(arguments.channels, arguments.cutoff, arguments.layers, arguments.correlation),
        description=Description(arguments.level_of_theory, arguments.dispersion),
        epochs=arguments.epochs,
        patience=arguments.patience,
        device=arguments.device,
        track=show,
    )
    _print(found)
    if arguments.register:
        print(f"registered as {arguments.name}: {register(found.path, arguments.name, replace=replace)}")
    return 0


def _goes_on(name: str, folder: Path) -> bool:
    """Return whether the registered model of that name is what the training in a folder has made so far."""
    registered, made = find_own(name), folder / f"{name}.json"
    return registered is not None and made.is_file() and registered.read_bytes() == made.read_bytes()


def _print(found: Finetuned) -> None:
    for new, known in found.stand_ins.items():
        print(f"{new} is new to the foundation model; it began as {known}")
    how = "stopped early" if found.stopped_early else "all done"
    before = " (done before)" if found.known_before else ""
    print(f"{found.epochs} epochs, {how}; the best was {found.best}{before}")
    for errors in found.test:
        stress = "" if errors.stress_rmse is None else f", {1e3 * errors.stress_rmse:.3g} meV/A^3"
        print(
            f"  RMSE on frames never seen, head {errors.head}: {1e3 * errors.energy_rmse:.3g} meV/atom, "
            f"{1e3 * errors.forces_rmse:.3g} meV/A{stress}"
        )
    print(found.path)
