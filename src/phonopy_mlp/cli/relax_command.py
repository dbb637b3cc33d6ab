"""``phonopy-mlp relax``: a structure at the minimum of a calculator."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from phonopy_mlp.cli import config
from phonopy_mlp.cli.arguments import (
    RelaxOptions,
    add_calculator_options,
    add_relax_options,
    read_calculator,
    read_relaxation,
    tolerance,
)
from phonopy_mlp.cli.checks import working_folder
from phonopy_mlp.cli.prepare import RELAXED_FILE, prepare
from phonopy_mlp.cli.record import RunRecord
from phonopy_mlp.cli.report import describe_groups
from phonopy_mlp.errors import SettingsError
from phonopy_mlp.inputs import read_input
from phonopy_mlp.registry import describe, identify
from phonopy_mlp.structures import check_elements
from phonopy_mlp.symmetry import LOOSE
from phonopy_mlp.unfinished import UNFINISHED_FOLDER, Unfinished

PROGRAM = "phonopy-mlp relax"


def run(argv: Sequence[str]) -> int:
    """Relax a structure and return the exit status.

    Raises
    ------
    PhonopyMlpError
        Bad input, a calculator that fails, a relaxation that does not converge, or a folder that cannot be written.

    """
    words = config.expand(argv)
    own = make_parser().parse_args(words)
    returned: list[str] = [] if own.structure is None else [own.structure]
    calculator_options = read_calculator(own, returned)
    relaxation = read_relaxation(own, returned)
    symmetrise = tolerance("--symmetrise", own.symmetrise, returned)
    structure = _one(returned)
    folder = working_folder()
    unfinished = Unfinished(folder / UNFINISHED_FOLDER, **identify(calculator_options.name))
    record = RunRecord([*PROGRAM.split(), *words], folder, unfinished, own.quiet)
    with record.collecting_warnings():
        given = read_input(structure)
        record.say(describe_groups(given.atoms, str(given.path)))
        calculator = calculator_options.make()
        description = describe(calculator)
        check_elements(given.atoms, description)
        atoms = prepare(given.atoms, calculator, relaxation, symmetrise, record)
        record.write(given, atoms, description, _settings(calculator_options.name, own, relaxation, symmetrise))
        unfinished.remove()
        record.say(f"Written: {RELAXED_FILE}")
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [--mlp [MODEL]] STRUCTURE [options]",
        description=f"Relax STRUCTURE and write {RELAXED_FILE} and phonopy_mlp.yaml.",
        allow_abbrev=False,
    )
    parser.add_argument("structure", nargs="?", help="CIF, POSCAR, extxyz, ...")
    add_calculator_options(parser)
    add_relax_options(parser)
    parser.add_argument(
        "--symmetrise",
        nargs="?",
        const=str(LOOSE),
        metavar="TOL",
        help=f"project onto the space group found at TOL (A, default: {LOOSE:g}), and relax again within it",
    )
    parser.add_argument(config.OPTION, metavar="YAML", help="take options from a file, or from the record of a run")
    parser.add_argument("-q", "--quiet", action="store_true", help="print warnings and errors alone")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _one(structures: Sequence[str]) -> Path:
    if not structures:
        raise SettingsError("No structure was given", "there is nothing to relax", "Name a CIF, POSCAR, extxyz, ...")
    if len(structures) > 1:
        raise SettingsError(
            f"{len(structures)} structures were given ({', '.join(structures)})", "one is relaxed at a time", "Name one"
        )
    return Path(structures[0])


def _settings(
    model: str, own: argparse.Namespace, relaxation: RelaxOptions, symmetrise: float | None
) -> dict[str, object]:
    return {
        "model": model,
        "device": own.device,
        "dtype": own.dtype,
        "head": own.head,
        "relax": relaxation.keywords(),
        "symmetrise": symmetrise,
    }
