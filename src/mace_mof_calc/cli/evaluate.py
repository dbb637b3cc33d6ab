"""Command ``mace-mof evaluate``: errors of a model on labelled frames, and of its phonons."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .progress import show


def add_parser(commands: Any) -> None:
    """Add the parser of this command."""
    parser = commands.add_parser("evaluate", help="errors of a model on labelled frames, and of its phonons")
    parser.add_argument("frames", nargs="+", type=Path, metavar="FILE", help="labelled frames, extxyz")
    parser.add_argument("--model", required=True, metavar="NAME", help="any calculator's name, or a model file")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="for tables and figures")
    parser.add_argument("--head", help="of a multi-head model")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1 (default: auto)")
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64", help="default: float64")
    phonons = parser.add_argument_group("phonons, by phonopy-mlp")
    phonons.add_argument("--phonons", type=Path, metavar="STRUCTURE", help="of a crystal that was not trained on")
    phonons.add_argument(
        "--reference", metavar="NAME", help="calculator, model file, or folder of a run, to compare with"
    )
    phonons.add_argument("--dim", nargs=3, type=int, default=(2, 2, 2), metavar="N", help="supercell (default: 2 2 2)")
    phonons.add_argument("--mesh", nargs=3, type=int, default=(11, 11, 11), metavar="N", help="default: 11 11 11")
    phonons.add_argument("--fmax", type=float, metavar="F", help="relax to, eV/A (default: that of phonopy-mlp)")
    parser.set_defaults(command=_evaluate)


def _evaluate(arguments: argparse.Namespace) -> int:
    from ..errors import TrainingError
    from ..files import make_folder
    from ..training.evaluate.phonons import compare_phonons
    from ..training.evaluate.run import evaluate
    from ..training.evaluate.table import format_text, make_rows

    if (arguments.phonons is None) != (arguments.reference is None):
        raise TrainingError("One of --phonons and --reference is missing", "Phonons are compared", "Give both")
    make_folder(arguments.output)
    found = evaluate(
        arguments.frames,
        arguments.output,
        arguments.model,
        head=arguments.head,
        device=arguments.device,
        dtype=arguments.dtype,
        track=show,
    )
    print(format_text(make_rows(found.errors)))
    print(f"{arguments.output}{' (computed before)' if found.known_before else ''}")
    if arguments.phonons is not None:
        print(
            compare_phonons(
                arguments.phonons,
                arguments.output,
                arguments.model,
                arguments.reference,
                dim=arguments.dim,
                mesh=arguments.mesh,
                fmax=arguments.fmax,
                device=arguments.device,
            )
        )
    return 0
