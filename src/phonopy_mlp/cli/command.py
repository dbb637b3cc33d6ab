"""``phonopy-mlp relax``, ``eos``, ``qha`` and so on: one step on a structure."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from phonopy_mlp.cli import config
from phonopy_mlp.cli.arguments import (
    CommonOptions,
    RelaxOptions,
    SupercellOptions,
    add_calculator_options,
    add_common_options,
    add_preparation_options,
    add_supercell_options,
    plain_numbers,
    read_calculator,
    read_relaxation,
    read_supercell,
    temperatures,
    tolerance,
)
from phonopy_mlp.cli.checks import check_overwriting, working_folder
from phonopy_mlp.cli.domain import check_domain
from phonopy_mlp.cli.messages import describe_groups
from phonopy_mlp.cli.prepare import prepare
from phonopy_mlp.cli.record import About, RunRecord
from phonopy_mlp.cli.steps import committee, elastic, eos, qha, sscha, stabilise
from phonopy_mlp.cli.steps.start import Start, Step
from phonopy_mlp.errors import SettingsError
from phonopy_mlp.files import alone
from phonopy_mlp.inputs import read_input
from phonopy_mlp.output import RELAXED_FILE
from phonopy_mlp.phonons import MESH
from phonopy_mlp.registry import describe, identify
from phonopy_mlp.report.assets import check_installed
from phonopy_mlp.report.page import write_report
from phonopy_mlp.structures import check_elements
from phonopy_mlp.symmetry import TIGHT, check_tolerance
from phonopy_mlp.unfinished import UNFINISHED_FOLDER, Unfinished

Reader = Callable[[argparse.Namespace, RelaxOptions, list[str]], Step | None]


@dataclass(frozen=True, slots=True)
class Command:
    """A command and the options that it takes besides the calculator and how to relax.

    Attributes
    ----------
    summary : str
        What it does, in a few words.
    add_options : callable or None
        Adds the options of its step; None for the relaxation alone.
    read : callable or None
        Returns the step.
    relaxes : bool
        Whether it always relaxes, and not only with ``--relax``.
    supercell : bool
        Whether it takes ``--dim``.
    symmetry : bool
        Whether it finds symmetry, and takes ``--tolerance``.
    sampling : bool
        Whether it takes ``--mesh`` and temperatures.

    """

    summary: str
    add_options: Callable[[Any], None] | None = None
    read: Reader | None = None
    relaxes: bool = False
    supercell: bool = False
    symmetry: bool = False
    sampling: bool = False


COMMANDS: Mapping[str, Command] = {
    "relax": Command("a structure at the calculator's minimum", relaxes=True),
    "stabilise": Command(
        "a structure at a minimum, its imaginary modes removed",
        stabilise.add_options,
        lambda own, relaxation, _: stabilise.read(own, relaxation, wanted=True),
        relaxes=True,
        supercell=True,
    ),
    "eos": Command(
        "equation of state, bulk modulus",
        eos.add_options,
        lambda own, *_: eos.read(own, wanted=True),
        symmetry=True,
    ),
    "elastic": Command(
        "elastic constants",
        elastic.add_options,
        lambda own, *_: elastic.read(own, wanted=True),
        supercell=True,
        symmetry=True,
    ),
    "qha": Command(
        "thermal expansion in the quasi-harmonic approximation",
        qha.add_options,
        lambda own, _, returned: qha.read(own, returned, wanted=True),
        supercell=True,
        symmetry=True,
        sampling=True,
    ),
    "sscha": Command(
        "self-consistent phonons against temperature",
        sscha.add_options,
        lambda own, _, returned: sscha.read(own, returned, wanted=True),
        supercell=True,
        symmetry=True,
        sampling=True,
    ),
    "committee": Command(
        "phonons by several models, and how far they are apart",
        committee.add_options,
        lambda own, *_: committee.read(own, wanted=True),
        supercell=True,
        symmetry=True,
        sampling=True,
    ),
}


def run(name: str, argv: Sequence[str]) -> int:
    """Run a command and return the exit status.

    Raises
    ------
    PhonopyMlpError
        Bad input, a calculator that fails, a step that cannot be done, or a folder that cannot be written.

    """
    command, words = COMMANDS[name], config.expand(argv, name)
    options = _parse(name, command, words)
    folder = working_folder()
    unfinished = Unfinished(folder / UNFINISHED_FOLDER, **identify(options.calculator.name))
    record = RunRecord(["phonopy-mlp", name, *words], folder, unfinished, options.quiet)
    with alone(folder), record.keeping():
        stabilises = isinstance(options.step, stabilise.StabiliseStep)
        check_overwriting(options.structure, options.structures_written(stabilised=stabilises))
        options.supercell.check()
        if options.symprec is not None:
            check_tolerance(options.symprec)
        if options.report:
            check_installed()
        if options.step is not None:
            options.step.check(options.mesh, options.temperatures, options.relaxing)
        given = read_input(options.structure)
        record.say(describe_groups(given.atoms, str(given.path)))
        calculator = options.calculator.make()
        description = describe(calculator)
        check_elements(given.atoms, description)
        settings = options.settings()
        about = About(given, description, settings, f"phonopy_mlp-{name}.yaml")
        if not (folder / about.name).exists():
            record.about = about
        atoms = prepare(given.atoms, calculator, options.relaxation, options.symmetrise, record)
        others = committee.other_models([options.step])
        check_domain(atoms, calculator, record, strict=options.calculator.strict, others=others)
        # A phonopy yaml brings them.
        symprec = options.symprec or given.tolerance or TIGHT
        supercell_matrix = options.supercell.choose(atoms, record.say, given.supercell_matrix)
        if command.symmetry:
            settings["symmetry_tolerance"] = symprec
        if command.supercell:
            settings["supercell_matrix"] = supercell_matrix
        # An earlier record stands until there are results in the place of its own.
        record.about = about
        if options.step is not None:
            start = Start(
                title=f"{given.path.name} ({atoms.get_chemical_formula()}), {description['name']}",
                atoms=atoms,
                calculator=calculator,
                supercell_matrix=supercell_matrix,
                symprec=symprec,
                relaxation=options.relaxing,
                mesh=options.mesh,
                temperatures=options.temperatures,
            )
            options.step.run(start, record)
        record.write()
        unfinished.remove()
        if options.step is None:
            record.say(f"Written: {RELAXED_FILE}")
        if options.report:
            record.say(f"Report: {write_report(folder).name}")
    return 0


@dataclass(frozen=True, slots=True)
class _Options(CommonOptions):
    symprec: float | None
    mesh: tuple[int, ...]
    temperatures: np.ndarray[Any, Any]
    step: Step | None

    def settings(self) -> dict[str, Any]:
        """Return every setting in force, for the record."""
        step: Any = self.step
        return {
            **self.common_settings(),
            "mesh": self.mesh,
            "temperatures": self.temperatures,
            "step": None if step is None else asdict(step),
        }


def check(name: str, words: Sequence[str]) -> None:
    """Raise `SettingsError`, or `SystemExit` as argparse does, for options that make no sense to a command."""
    options = _parse(name, COMMANDS[name], ["structure.cif", *config.expand(words, name)])
    options.supercell.check()
    if options.step is not None:
        options.step.check(options.mesh, options.temperatures, options.relaxing)


def _parse(name: str, command: Command, words: Sequence[str]) -> _Options:
    own = make_parser(name).parse_args(plain_numbers(words))
    returned: list[str] = [] if own.structure is None else [own.structure]
    calculator = read_calculator(own, returned)
    relaxation = read_relaxation(own, returned, wanted=command.relaxes or own.relax)
    symmetrise = tolerance("--symmetrise", own.symmetrise, returned)
    supercell = read_supercell(own, returned) if command.supercell else SupercellOptions(None, None)
    step = None if command.read is None else command.read(own, relaxation, returned)
    if isinstance(step, stabilise.StabiliseStep):
        step = replace(step, symmetrise=symmetrise)
    sampling = own if command.sampling else argparse.Namespace(mesh=MESH, tmin=0.0, tmax=qha.TMAX, tstep=qha.TSTEP)
    return _Options(
        structure=_one(returned),
        calculator=calculator,
        relaxation=relaxation if own.relax else None,
        symmetrise=symmetrise,
        supercell=supercell,
        symprec=own.tolerance,
        relaxing=relaxation,
        mesh=tuple(sampling.mesh),
        temperatures=temperatures(sampling.tmin, sampling.tmax, sampling.tstep),
        step=step,
        report=own.report,
        quiet=own.quiet,
    )


def make_parser(name: str) -> argparse.ArgumentParser:
    """Return the parser of a command."""
    command = COMMANDS[name]
    parser = argparse.ArgumentParser(
        prog=f"phonopy-mlp {name}",
        usage=f"phonopy-mlp {name} [--mlp [MODEL]] STRUCTURE [options]",
        description=f"{command.summary[0].upper()}{command.summary[1:]}.",
        allow_abbrev=False,
    )
    parser.add_argument("structure", nargs="?", help="CIF, POSCAR, extxyz, ...")
    add_calculator_options(parser)
    # What always relaxes does so in its step, but for the relaxation itself, which has none.
    parser.set_defaults(relax=command.read is None)
    add_preparation_options(parser, always=command.relaxes)
    parser.set_defaults(tolerance=None)
    if command.symmetry:
        parser.add_argument("--tolerance", type=float, metavar="TOL", help=f"of symmetry, in A (default: {TIGHT:g})")
    if command.supercell:
        add_supercell_options(parser)
    if command.sampling:
        _add_sampling_options(parser)
    if command.add_options is not None:
        command.add_options(parser)
    add_common_options(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="print warnings and errors alone")
    return parser


def _add_sampling_options(parser: argparse.ArgumentParser) -> None:
    mesh = " ".join(map(str, MESH))
    parser.add_argument("--mesh", type=int, nargs=3, default=MESH, metavar="N", help=f"sampling mesh (default: {mesh})")
    for option, default in (("--tmin", 0.0), ("--tmax", qha.TMAX), ("--tstep", qha.TSTEP)):
        parser.add_argument(option, type=float, default=default, metavar="T", help=f"in K (default: {default:g})")


def _one(structures: Sequence[str]) -> Path:
    if not structures:
        raise SettingsError(
            "No structure was given", "there is nothing to compute", "Name a CIF, POSCAR or extxyz file"
        )
    if len(structures) > 1:
        raise SettingsError(
            f"{len(structures)} structures were given ({', '.join(structures)})",
            "one is computed at a time",
            "Name one",
        )
    return Path(structures[0])
