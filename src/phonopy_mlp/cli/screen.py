"""``phonopy-mlp screen``: many structures through the workflow."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

from phonopy_mlp.cli.arguments import CalculatorOptions, add_calculator_options, plain_numbers, read_calculator
from phonopy_mlp.errors import SettingsError
from phonopy_mlp.files import is_file
from phonopy_mlp.registry import identify, is_model_file
from phonopy_mlp.screen.isolation import describe_calculator
from phonopy_mlp.screen.page import PAGE_FILE, write_page
from phonopy_mlp.screen.plan import STEPS, USUAL_STEPS, Model, make_plan
from phonopy_mlp.screen.progress import STATUS_FILE, describe_status, read_status
from phonopy_mlp.screen.run import run_screening
from phonopy_mlp.screen.stamps import take_stamp
from phonopy_mlp.screen.store import Store, find_folder
from phonopy_mlp.screen.task import Limits, State

SUMMARY = "many structures through the workflow, on any number of machines, into a database"

FAILED = 1
"""Exit status where something has failed or was lost."""


def run(argv: Sequence[str]) -> int:
    """Screen structures, or tell how far a screening is, and return the exit status.

    Raises
    ------
    PhonopyMlpError
        Bad input, an executor that cannot be started, or a database or folder that cannot be written.

    """
    own = make_parser().parse_args(_keep_together(plain_numbers(argv)))
    folder = own.folder or find_folder(own.db)
    if own.status:
        print(describe_status(read_status(folder / STATUS_FILE)))
        return 0
    if own.report:
        print(f"Report: {write_page(Store(own.db, make=False), folder / PAGE_FILE)}")
        return 0
    _check_installed()
    returned: list[str] = []
    calculator = read_calculator(own, returned)
    sources = [*own.structures, *map(Path, returned)]
    if not sources:
        raise SettingsError("No structure was given", "there is nothing to screen", "Name files, folders or databases")
    options, steps = _read_options(own.set), own.steps.split(",")
    model = _read_model(calculator)
    # Before the calculator is loaded, which takes a while.
    make_plan(steps, options, model)
    settings = {"device": calculator.device, "dtype": calculator.dtype}
    settings |= {} if calculator.head is None else {"head": calculator.head}
    plan = make_plan(steps, options, replace(model, description=describe_calculator(model.name, settings)))
    states = run_screening(
        sources,
        plan,
        own.db,
        folder,
        executor=own.executor,
        workers=own.workers,
        limits=Limits(own.time_limit, own.memory_limit),
        retry_failed=own.retry_failed,
    )
    print(", ".join(f"{states.get(state, 0)} {state}" for state in get_args(State)))
    return 0 if states.get("done", 0) == sum(states.values()) else FAILED


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(
        prog="phonopy-mlp screen",
        usage="phonopy-mlp screen STRUCTURES... --mlp MODEL --db FILE [options]",
        description=f"{SUMMARY[0].upper()}{SUMMARY[1:]}.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "structures", nargs="*", type=Path, help="files, folders, lists of files (.txt), ASE databases (.db)"
    )
    add_calculator_options(parser)
    parser.add_argument(
        "--steps",
        default=",".join(USUAL_STEPS),
        metavar="LIST",
        help=f"of {','.join(STEPS)} (default: %(default)s)",
    )
    parser.add_argument(
        "--set",
        nargs=2,
        action="append",
        default=[],
        metavar=("STEP", "OPTIONS"),
        help='options of a step, as on its own command line: --set phonons "--dim 1 1 1 --mesh 5 5 5"',
    )
    parser.add_argument("--db", required=True, metavar="FILE", help="ASE database, of SQLite, or postgresql://...")
    parser.add_argument("--folder", type=Path, help="of all other files (default: the database's name without suffix)")
    parser.add_argument(
        "--executor",
        default="local",
        metavar="WHERE",
        help="local, parsl:FILE, dask:ADDRESS or mpi (default: %(default)s)",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="default: one for each GPU, or for each core")
    parser.add_argument("--time-limit", type=float, metavar="S", help="of a task, in s (default: none)")
    parser.add_argument("--memory-limit", type=float, metavar="GIB", help="of a task, in GiB (default: none)")
    parser.add_argument("--retry-failed", action="store_true", help="do again what has failed")
    parser.add_argument("--status", action="store_true", help="tell how far a screening is, from any terminal")
    parser.add_argument("--report", action="store_true", help=f"make {PAGE_FILE} of what is in the database so far")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _keep_together(words: Sequence[str]) -> list[str]:
    """Return the words with a space before the options of a step, of which argparse takes a single one for its own."""
    return [f" {word}" if k > 1 and words[k - 2] == "--set" else word for k, word in enumerate(words)]


def _check_installed() -> None:
    if missing := [name for name in ("filelock", "pebble", "psutil") if find_spec(name) is None]:
        raise SettingsError(
            "A screening cannot be done", f"{', '.join(missing)} is missing", "Run: pip install 'phonopy-mlp[screen]'"
        )


def _read_model(calculator: CalculatorOptions) -> Model:
    """Return the calculator of all tasks, which work in folders of their own."""
    name = calculator.name
    stamp = take_stamp(Path(name)) if is_model_file(name) and is_file(Path(name)) else None
    digest = identify(name)["file_digest"]
    name = name if digest is None else str(Path(name).resolve())
    options = ["--dtype", calculator.dtype]
    options += [] if calculator.head is None else ["--head", calculator.head]
    options += ["--strict"] if calculator.strict else []
    return Model(name, calculator.device, tuple(options), digest=digest, stamp=stamp)


def _read_options(pairs: Sequence[Sequence[str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for step, words in pairs:
        found[step] = f"{found.get(step, '')} {words}".strip()
    return found
