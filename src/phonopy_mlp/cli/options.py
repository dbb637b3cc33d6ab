"""The options of ``phonopy --mlp``: ours, phonopy-init's, and all others, which are phonopy's own."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from phonopy.cui.phonopy_argparse import (
    fix_deprecated_option_names,
    get_run_parser,
    show_deprecated_option_warnings,
)
from phonopy.cui.settings import PhonopyConfParser, PhonopySettings

from phonopy_mlp.cli.arguments import (
    CommonOptions,
    add_calculator_options,
    add_common_options,
    add_preparation_options,
    add_supercell_options,
    looks_like_a_file,
    plain_numbers,
    read_calculator,
    read_relaxation,
    read_supercell,
    temperatures,
    tolerance,
)
from phonopy_mlp.cli.steps.options import add_step_options, read_stabilisation, read_steps
from phonopy_mlp.cli.steps.qha import TMAX
from phonopy_mlp.cli.steps.stabilise import StabiliseStep
from phonopy_mlp.cli.steps.start import Step
from phonopy_mlp.errors import SettingsError
from phonopy_mlp.files import exists, is_file
from phonopy_mlp.force_constants import Method
from phonopy_mlp.phonons import MESH
from phonopy_mlp.registry import calculator_names

THERMAL_OPTIONS = ("-t", "--thermal-property")
OTHER_MESH_OPTIONS = ("--dos", "--pdos", "--band", "--band-labels", "--anime")
"""What phonopy leaves out of a run with ``-t``, or need not do again in one."""

_DISPLACEMENT_TAGS = {"displacement_distance", "random_displacements", "pm", "diag", "trigonal"}
"""Tags of a configuration file that say which displacements."""

_FLAGS = "dpqstv"
"""phonopy's one-letter options without a value, which may be bundled."""


@dataclass(frozen=True, slots=True)
class Options(CommonOptions):
    """A parsed command line of a run.

    Attributes
    ----------
    stabilisation : StabiliseStep or None
        How imaginary modes are removed after the relaxation; None where they are not.
    method : str
        ``auto``, ``linear-response`` or ``finite-displacement``.
    diagonal, trigonal : bool
        Displacement directions, as phonopy-init.
    steps : tuple of Step
        What is done besides phonons, in this order.
    figure : Path or None
        PNG file of bands, DOS and thermal properties.
    use_born : bool
        Let phonopy apply the non-analytical term.
    dry_run : bool
        Say what would be done, and stop.
    settings : PhonopySettings
        phonopy's own reading of its options and of ``--config``.
    tags : dict of str to str
        phonopy's configuration tags, in small letters, that were set, in the file or by an option.
    config : Path or None
        phonopy's configuration file.
    displacement_words : tuple of str
        Options given here that choose displacements.
    arguments : tuple of str
        What is handed on to phonopy.

    """

    stabilisation: StabiliseStep | None
    method: Method
    diagonal: bool
    trigonal: bool
    steps: tuple[Step, ...]
    figure: Path | None
    use_born: bool
    dry_run: bool
    settings: PhonopySettings
    tags: dict[str, str]
    config: Path | None
    displacement_words: tuple[str, ...]
    arguments: tuple[str, ...]

    @property
    def mesh(self) -> tuple[int, ...]:
        """Sampling mesh, the default one where none was given; of other than three numbers where it is no plain one."""
        numbers = self.settings.mesh_numbers
        return MESH if numbers is None else tuple(int(n) for n in np.asarray(numbers).ravel())

    @property
    def chooses_displacements(self) -> bool:
        """Whether an option, or a tag of the configuration file, says which displacements."""
        return bool(self.displacement_words) or not _DISPLACEMENT_TAGS.isdisjoint(self.tags)

    @property
    def qha_temperatures(self) -> np.ndarray[Any, Any]:
        """Temperatures of the quasi-harmonic approximation in K, by phonopy's options, but for the highest one."""
        settings = self.settings
        highest = settings.max_temperature if "tmax" in self.tags else TMAX
        return temperatures(settings.min_temperature, highest, settings.temperature_step)


def own_parser(program: str) -> argparse.ArgumentParser:
    """Return the parser of all options that are not handed on to phonopy."""
    parser = argparse.ArgumentParser(
        prog=program,
        usage=f"{program} [--mlp [MODEL]] STRUCTURE [--dim 2 2 2] [options] [phonopy's options]",
        description="Phonons of STRUCTURE (CIF, POSCAR, extxyz, ..., or a phonopy yaml) from any ASE calculator.",
        epilog="All other options are phonopy's own and mean what they mean there: see 'phonopy --help'.",
        allow_abbrev=False,
    )
    ours = parser.add_argument_group("options of phonopy-mlp")
    add_calculator_options(ours)
    add_preparation_options(ours, always=False)
    ours.add_argument(
        "--fc-method",
        default="auto",
        choices=get_args(Method),
        help="force constants by exact derivatives (default, where the calculator has them) or by displacements",
    )
    ours.add_argument(
        "--figure", type=Path, metavar="PNG", help="draw bands, DOS and thermal properties; print a table"
    )
    ours.add_argument("--use-born", action="store_true", help="apply the non-analytical term of a BORN file")
    ours.add_argument("--dry-run", action="store_true", help="print symmetry, size and estimated cost, and stop")
    add_common_options(ours)
    add_step_options(parser)
    init = parser.add_argument_group("options of phonopy-init")
    add_supercell_options(init)
    init.add_argument("-c", "--cell", metavar="FILE", help="the structure, as phonopy-init names it")
    init.add_argument("--nodiag", action="store_true", help="displacements along the axes alone")
    init.add_argument("--trigonal", action="store_true", help="displacements for trigonal symmetry")
    # phonopy's program, too, has these, but for another purpose: they must not reach it.
    shared = parser.add_argument_group("options of phonopy that set the displacements")
    shared.add_argument("-d", "--displacement", action="store_true", help="implied")
    shared.add_argument("--amplitude", "--amin", metavar="D", help="length in A (default: 0.001; noisy forces: 0.01)")
    shared.add_argument("--pm", action="store_true", help="both signs of every displacement")
    shared.add_argument("--rd", "--random-displacements", metavar="N", help="so many random displacements instead")
    shared.add_argument("--random-seed", metavar="SEED", help="of the random displacements")
    return parser


def parse(argv: Sequence[str], program: str) -> Options:
    """Parse a command line.

    Raises
    ------
    SettingsError
        No structure, or more than one; a tolerance that is not a number; a configuration that phonopy cannot read.
    SystemExit
        From argparse: an option with a wrong value (2), or help (0).

    """
    own, rest = own_parser(program).parse_known_args(plain_numbers(_as_phonopy_writes_them(argv)))
    returned: list[str] = []
    calculator = read_calculator(own, returned)
    relaxation = read_relaxation(own, returned, wanted=own.relax or own.stabilise)
    symmetrise = tolerance("--symmetrise", own.symmetrise, returned)
    stabilisation = read_stabilisation(own, relaxation, symmetrise)
    supercell = read_supercell(own, returned)
    steps = read_steps(own, returned)
    structure, arguments = _structure([*([own.cell] if own.cell else []), *returned], rest)
    displacement_words = _displacement_words(own)
    with _program_name("phonopy"):
        parser, _ = get_run_parser()
        namespace = parser.parse_args([*arguments, *displacement_words])
    conf = None if namespace.conf_filename is None else Path(namespace.conf_filename)
    settings, tags = _read_settings(namespace, conf)
    return Options(
        structure=structure,
        calculator=calculator,
        relaxation=relaxation if own.relax else None,
        stabilisation=stabilisation,
        relaxing=relaxation,
        symmetrise=symmetrise,
        supercell=supercell,
        method=own.fc_method,
        diagonal=settings.is_diagonal_displacement and not own.nodiag,
        trigonal=settings.is_trigonal_displacement or own.trigonal,
        steps=steps,
        figure=own.figure,
        report=own.report,
        use_born=own.use_born,
        dry_run=own.dry_run,
        quiet=namespace.quiet,
        settings=settings,
        tags=tags,
        config=conf,
        displacement_words=(
            *displacement_words,
            *(word for word, given in (("--nodiag", own.nodiag), ("--trigonal", own.trigonal)) if given),
        ),
        arguments=tuple(arguments),
    )


def drop(arguments: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return phonopy's arguments without some options and their values."""
    kept: list[str] = []
    dropping = False
    for word in arguments:
        if is_option(word):
            dropping = word.partition("=")[0] in names
        if not dropping:
            kept.append(word)
    return kept


def is_option(word: str) -> bool:
    """Return whether a word is an option and not a value, which may be a negative number."""
    return word.startswith("-") and not word[1:2].isdigit() and word[1:2] != "."


def _as_phonopy_writes_them(argv: Sequence[str]) -> list[str]:
    """Return the words with hyphens for underscores in options, as phonopy does, and bundled flags taken apart."""
    if "" in argv:
        raise SettingsError("An empty word is among the arguments", "it names nothing", "Leave it out")
    words = ["phonopy", *argv]
    deprecated = fix_deprecated_option_names(words)
    if deprecated:
        show_deprecated_option_warnings(deprecated)
    apart: list[str] = []
    for word in words[1:]:
        bundled = len(word) > 2 and word[0] == "-" and set(word[1:]) <= set(_FLAGS)
        apart += [f"-{letter}" for letter in word[1:]] if bundled else [word]
    return apart


def _read_settings(namespace: argparse.Namespace, config: Path | None) -> tuple[PhonopySettings, dict[str, str]]:
    """Let phonopy read its options and its configuration file."""
    if config is not None and not is_file(config):
        raise SettingsError(f"Configuration file '{config}'", "there is no such file", "Check its name")
    try:
        parser = PhonopyConfParser(filename=namespace.conf_filename, args=namespace, load_phonopy_yaml=True)
    except (ArithmeticError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
        where = "phonopy's options" if config is None else f"phonopy's options or '{config}'"
        raise SettingsError(
            f"A value in {where} cannot be read", f"{type(error).__name__}: {error}", "See phonopy's manual"
        ) from error
    return parser.settings, {name: str(value) for name, value in parser.confs.items()}


def _displacement_words(own: argparse.Namespace) -> list[str]:
    words = ["--pm"] if own.pm else []
    for option, value in (("--amplitude", own.amplitude), ("--rd", own.rd), ("--random-seed", own.random_seed)):
        if value is not None:
            words += [option, value]
    return words


def _structure(named: list[str], rest: list[str]) -> tuple[Path, list[str]]:
    """Find the structure among the words that are not ours and return it with the others.

    phonopy's parser decides what a word is. Where the structure follows an option with many values, such as
    ``--mesh 11 11 11 MOF-5.cif``, that parser would take it as one of them: such a word is the structure if it is a
    file, and if phonopy can do without it.
    """
    positional = _positional(rest)
    found = [*named, *(positional or [])]
    if not found:
        found = [word for word in reversed(rest) if not is_option(word) and _is_spare_file(word, rest)][:1]
    if not found and positional is None:
        with _program_name("phonopy"):
            get_run_parser()[0].parse_args(rest)
    if not found:
        words = [word for word in rest if not is_option(word) and looks_like_a_file(word)]
        missing = [word for word in words if not exists(word)]
        raise SettingsError(
            "No structure was given",
            f"there is no file {' or '.join(missing)}" if missing else "there is nothing to compute phonons of",
            "Name a CIF, POSCAR or phonopy yaml",
        )
    if len(found) > 1:
        raise SettingsError(
            f"More than one structure was given ({', '.join(found)})",
            "one is computed at a time",
            f"Give one; registered calculators are {', '.join(calculator_names())}",
        )
    return Path(found[0]), _without_last(found[0], rest)


def _positional(words: list[str]) -> list[str] | None:
    """Return the words that phonopy's parser takes for file names; None where it takes offence."""
    with _program_name("phonopy"), redirect_stderr(io.StringIO()):
        try:
            return list(get_run_parser()[0].parse_args(words).filename)
        except SystemExit:
            return None


def _is_spare_file(word: str, rest: list[str]) -> bool:
    return is_file(word) and _positional(_without_last(word, rest)) is not None


def _without_last(word: str, words: list[str]) -> list[str]:
    kept = list(reversed(words))
    if word in kept:
        kept.remove(word)
    return kept[::-1]


@contextmanager
def _program_name(name: str) -> Iterator[None]:
    """Let phonopy's parser see its own name; it also edits sys.argv in place."""
    saved = sys.argv
    sys.argv = [name]
    try:
        yield
    finally:
        sys.argv = saved
