"""Command ``mace-mof``: models, their weights, and how they come about."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib.metadata import version

from ..errors import MaceMofError, OutputError
from . import curate, evaluate, finetune, label, models, sample

__all__ = ["main"]

_FAILED = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        Exit status: 0, 1 where `verify` finds a difference or `label` leaves out frames, 2 after an error.
    """
    arguments = _make_parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except (MaceMofError, OSError) as error:
        if arguments.debug:
            traceback.print_exc()
        else:
            print(f"mace-mof: error: {_explain(error)}", file=sys.stderr)
        return _FAILED


def _explain(error: MaceMofError | OSError) -> MaceMofError:
    if isinstance(error, MaceMofError):
        return error
    name, why = error.filename or "A file", error.strerror or str(error)
    return OutputError(f"{name} cannot be read or written", why, "Check its name, its rights, and the room there is")


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mace-mof", description="Models of mace-mof-calc: their weights, and how to make your own."
    )
    parser.add_argument("--version", action="version", version=f"mace-mof-calc {version('mace-mof-calc')}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    models.add_parsers(commands)
    curate.add_parser(commands)
    sample.add_parser(commands)
    label.add_parser(commands)
    finetune.add_parser(commands)
    evaluate.add_parser(commands)
    return parser
