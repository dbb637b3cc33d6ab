"""Entry points of the commands ``phonopy-mlp`` and ``phonopy --mlp``."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version

from phonopy_mlp.cli import command as step_command
from phonopy_mlp.cli import compare as compare_command
from phonopy_mlp.cli import report as report_command
from phonopy_mlp.cli import run as run_command
from phonopy_mlp.cli import screen as screen_command
from phonopy_mlp.cli.config import expand
from phonopy_mlp.cli.options import own_parser, parse
from phonopy_mlp.errors import PhonopyMlpError
from phonopy_mlp.registry import calculator_names

_STEPS = "\n".join(f"  {name:<12} {command.summary}" for name, command in step_command.COMMANDS.items())

_COMMANDS = f"""usage: phonopy-mlp COMMAND [options]

Phonons from any ASE calculator, with phonopy's options and files.

commands:
  run          force constants, and everything phonopy makes of them (same as 'phonopy --mlp')
{_STEPS}
  compare      {compare_command.SUMMARY}
  report       one page on a finished run, from the files in its folder
  screen       {screen_command.SUMMARY}
  calculators  list the registered calculators

'phonopy-mlp COMMAND --help' tells the options.
"""


def main(argv: Sequence[str] | None = None, *, passing: tuple[type[PhonopyMlpError], ...] = ()) -> int:
    """Run ``phonopy-mlp`` and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process by default.
    passing : tuple of type, optional
        Errors that are raised; all others are said in one line.

    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_COMMANDS, end="")
        return 0 if arguments else 2
    command, *rest = arguments
    guarded = partial(_guarded, arguments=rest, passing=passing)
    if command == "run":
        return guarded(lambda: _run(rest, "phonopy-mlp run"))
    if command in step_command.COMMANDS:
        return guarded(lambda: step_command.run(command, rest))
    if command == "compare":
        return guarded(lambda: compare_command.run(rest))
    if command == "report":
        return guarded(lambda: report_command.run(rest))
    if command == "screen":
        return guarded(lambda: screen_command.run(rest))
    if command == "calculators":
        if rest:
            print("usage: phonopy-mlp calculators\n\nList the registered calculators, one name a line.")
            return 0 if set(rest) <= {"-h", "--help"} else 2
        print("\n".join(calculator_names()))
        return 0
    if command == "--version":
        print(f"phonopy-mlp {version('phonopy-mlp')}")
        return 0
    print(f"phonopy-mlp: unknown command '{command}'\n\n{_COMMANDS}", end="", file=sys.stderr)
    return 2


def phonopy_main(argv: Sequence[str]) -> int:
    """Run ``phonopy --mlp`` with the arguments after the program name and return its exit status."""
    return _guarded(lambda: _run(list(argv), "phonopy"), argv)


def _run(arguments: list[str], program: str) -> int:
    if "-h" in arguments or "--help" in arguments:
        own_parser(program).print_help()
        return 0
    words = expand(arguments, "run")
    return run_command.run(parse(words, program), [*program.split(), *words])


def _guarded(
    action: Callable[[], int], arguments: Sequence[str], passing: tuple[type[PhonopyMlpError], ...] = ()
) -> int:
    """Turn our own errors into one message and exit status 2."""
    try:
        return action()
    except SystemExit as ended:
        # phonopy's reading of its own options ends with status 1 after its own message.
        return 2 if ended.code else 0
    except passing:
        raise
    except PhonopyMlpError as error:
        if "--debug" in arguments:
            traceback.print_exc()
        print(f"phonopy-mlp: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "phonopy-mlp: interrupted; nothing half-written was left, and the same command goes on from here",
            file=sys.stderr,
        )
        return 130
