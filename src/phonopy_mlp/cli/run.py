"""The steps of ``phonopy --mlp`` in order: read, relax, force constants, files, phonopy itself, further steps."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from phonopy import Phonopy

from phonopy_mlp.cli.arguments import temperatures
from phonopy_mlp.cli.cells import choose_cells, choose_displacements, choose_supercell, choose_tolerance
from phonopy_mlp.cli.checks import (
    FORCE_CONSTANTS_TEXT,
    check_against_input,
    check_options,
    check_surroundings,
    is_file,
    working_folder,
)
from phonopy_mlp.cli.delegate import excludes_gamma_acoustic, phonopy_symmetrises, run_phonopy
from phonopy_mlp.cli.domain import check_domain
from phonopy_mlp.cli.health import check_health
from phonopy_mlp.cli.messages import (
    describe_groups,
    describe_plan,
    summarise,
)
from phonopy_mlp.cli.options import Options
from phonopy_mlp.cli.prepare import prepare
from phonopy_mlp.cli.progress import bar
from phonopy_mlp.cli.record import About, RunRecord
from phonopy_mlp.cli.steps.committee import other_models
from phonopy_mlp.cli.steps.start import Start
from phonopy_mlp.files import alone
from phonopy_mlp.force_constants import (
    ForceConstantsResult,
    choose_method,
    compute_force_constants,
    force_constants_from_dataset,
)
from phonopy_mlp.inputs import RunInput, read_input
from phonopy_mlp.output import (
    FORCE_CONSTANTS_FILE,
    PARAMS_FILE,
    RELAXED_FILE,
    STABILISED_FILE,
    TRAIL_FILE,
    writing_force_constants,
)
from phonopy_mlp.phonons import MESH, PITCH, compute_phonons
from phonopy_mlp.plot import plot_phonons, write_figure
from phonopy_mlp.provenance import read_provenance
from phonopy_mlp.registry import describe, identify
from phonopy_mlp.report.page import write_report
from phonopy_mlp.structures import check_elements
from phonopy_mlp.symmetry import symmetrise
from phonopy_mlp.unfinished import UNFINISHED_FOLDER, Unfinished


def run(options: Options, command: Sequence[str]) -> int:
    """Do what a command line asks and return the exit status.

    Parameters
    ----------
    options : Options
        The command line, parsed.
    command : sequence of str
        The command line, program name first.

    Raises
    ------
    PhonopyMlpError
        Bad input, a calculator that fails, or a folder that cannot be written.

    """
    folder = working_folder()
    unfinished = Unfinished(folder / UNFINISHED_FOLDER, **identify(options.calculator.name))
    record = RunRecord(command, folder, unfinished, options.quiet)
    with nullcontext() if options.dry_run else alone(folder), record.keeping():
        check_options(options)
        earlier = check_surroundings(options, folder)
        given = read_input(options.structure)
        check_against_input(options, given)
        if given.has_forces and options.dry_run:
            print(f"'{given.path}' has its forces already: no displacement would be computed.")
            return 0
        made = (_from_forces if given.has_forces else _from_calculator)(given, options, record, earlier)
        if made is None:
            return 0
        if made.start is None:
            unfinished.remove()
        # Before the steps, which may take hours or fail.
        started = time.perf_counter()
        status = _finish(made, options, folder)
        if status != 0:
            return status
        if record.written:
            record.add("phonopy", {}, time.perf_counter() - started)
        if made.start is not None:
            for step in options.steps:
                step.run(made.start, record)
            record.write()
            unfinished.remove()
        if options.report:
            record.say(f"Report: {write_report(folder).name}")
        return 0


@dataclass(frozen=True, slots=True)
class _Made:
    """Force constants, the structure they belong to, what the calculator says of itself, and where steps go on.

    Without steps there is no start: the calculator goes, for phonopy may need the memory.
    """

    atoms: Atoms
    result: ForceConstantsResult
    description: Mapping[str, Any]
    start: Start | None = None


def _from_forces(given: RunInput, options: Options, record: RunRecord, earlier: tuple[str, ...]) -> _Made:
    record.say(f"Forces were read from '{given.path}'; the calculator is not needed.")
    phonon = choose_cells(given.atoms, choose_supercell(given.atoms, options, given, record.say), options, given)
    phonon.dataset = given.dataset
    result = force_constants_from_dataset(phonon, symmetrise=options.settings.fc_symmetry)
    origin = _origin(given)
    if origin:
        record.steps["forces_from"] = origin
    calculator = {**origin.get("calculator", {}), "forces": f"read from {given.path}"}
    made = _Made(given.atoms, result, {"name": "unknown", **calculator})
    _write(given, made, options, record, earlier)
    return made


def _from_calculator(given: RunInput, options: Options, record: RunRecord, earlier: tuple[str, ...]) -> _Made | None:
    """Compute and write force constants, and do the other steps; None for a dry run."""
    record.say(describe_groups(given.atoms, str(given.path)))
    calculator = options.calculator.make()
    description = describe(calculator)
    check_elements(given.atoms, description)
    if FORCE_CONSTANTS_FILE not in earlier:
        # Force constants of an earlier run would become this one's by its record.
        record.about = About(given, description, _settings(options))
    if options.dry_run and options.symmetrise is not None:
        atoms = symmetrise(given.atoms, options.symmetrise)
    elif options.dry_run:
        atoms = given.atoms
    else:
        atoms = prepare(given.atoms, calculator, options.relaxation, options.symmetrise, record)
    start = Start(
        title=_title(options, atoms, description),
        atoms=atoms,
        calculator=calculator,
        supercell_matrix=choose_supercell(atoms, options, given, record.say),
        symprec=choose_tolerance(options, given),
        relaxation=options.relaxing,
        mesh=options.mesh,
        temperatures=options.qha_temperatures,
    )
    if options.stabilisation is not None and not options.dry_run:
        options.stabilisation.run(start, record)
    atoms = start.atoms
    check_domain(atoms, calculator, record, strict=options.calculator.strict, others=other_models(options.steps))
    phonon = choose_cells(atoms, start.supercell_matrix, options, given)
    chosen = given.dataset is not None or options.chooses_displacements
    method = choose_method(calculator, options.method, given=chosen)
    choose_displacements(phonon, options, given, calculator, linear=method == "linear-response")
    if options.dry_run:
        print(describe_plan(phonon, atoms, calculator, method))
        left_out = _left_out(options)
        if left_out:
            print(f"Only force constants of the structure as given are in this estimate, not {left_out}.")
        return None
    record.say(f"{len(phonon.displacements)} displacements in a supercell of {len(phonon.supercell)} atoms, {method}.")
    result = compute_force_constants(
        phonon,
        calculator,
        symmetrise=options.settings.fc_symmetry,
        method=method,
        progress=bar,
        unfinished=record.unfinished,
    )
    start.force_constants = result
    made = _Made(atoms, result, description, start if options.steps else None)
    _write(given, made, options, record, earlier)
    return made


def _left_out(options: Options) -> str:
    """Return what else a run does that may take long; empty where nothing."""
    asked = {
        "the relaxation": options.relaxation is not None,
        "the stabilisation": options.stabilisation is not None,
        "the steps that follow": bool(options.steps),
    }
    return " or ".join(name for name, wanted in asked.items() if wanted)


def _origin(given: RunInput) -> Mapping[str, Any]:
    """Return the record of the run that computed the forces of the input; empty where there is none."""
    if given.path.name != PARAMS_FILE:
        return {}
    record = read_provenance(given.path.parent) or {}
    steps = record.get("steps") or {}
    earlier: Mapping[str, Any] | None = steps.get("forces_from")
    computed = "force_constants" in steps and (record.get("settings") or {}).get("model") is not None
    return earlier or (record if computed else {})


def _write(given: RunInput, made: _Made, options: Options, record: RunRecord, earlier: tuple[str, ...]) -> None:
    """Look for imaginary modes, and write the files in the place of those of an earlier run."""
    result, folder = made.result, record.folder
    check_health(made.atoms, result, made.description, record)
    # Files and record come together: without a record the files would be another calculation's to the next run.
    with writing_force_constants(result, folder, keep_params=is_file(given.path, PARAMS_FILE)):
        for name in _stale(given, options):
            if name in earlier and not is_file(given.path, name):
                (folder / name).unlink(missing_ok=True)
        settings = {
            **_settings(options),
            **({"model": None} if given.has_forces else {}),
            **_phonon_settings(result.phonon),
        }
        record.about = About(given, made.description, settings)
        record.write()
    # They need no digests, and are not phonopy's.
    record.written.clear()


def _stale(given: RunInput, options: Options) -> tuple[str, ...]:
    """Return files that this run does not write, and that would seem to be its own if an earlier run left them."""
    written = options.structures_written(stabilised=options.stabilisation is not None)
    # Structures of an earlier run stay where its forces do.
    structures = () if given.has_forces else (RELAXED_FILE, STABILISED_FILE, TRAIL_FILE)
    return (FORCE_CONSTANTS_TEXT, *(name for name in structures if name not in written))


def _finish(made: _Made, options: Options, folder: Path) -> int:
    """Draw the figure, and let phonopy do the rest."""
    if options.figure is not None:
        _draw(made, options.figure, options)
    return run_phonopy(
        options,
        folder,
        own_force_constants=not phonopy_symmetrises(options),
        tolerance=made.result.phonon.symmetry.tolerance,
    )


def _draw(made: _Made, figure: Path, options: Options) -> None:
    settings = options.settings
    mesh: Any = MESH if settings.mesh_numbers is None else settings.mesh_numbers
    phonons = compute_phonons(
        made.result.phonon,
        mesh=mesh,
        pitch=settings.frequency_pitch or PITCH,
        temperatures=temperatures(settings.min_temperature, settings.max_temperature, settings.temperature_step),
        cutoff_frequency=settings.cutoff_frequency,
        gamma_centred=settings.is_gamma_center,
        exclude_gamma_acoustic=excludes_gamma_acoustic(options),
        progress=bar,
    )
    write_figure(plot_phonons(phonons, _title(options, made.atoms, made.description)), figure)
    print(f"Figure: {figure}", summarise(phonons, made.atoms, made.result), sep="\n", flush=True)


def _title(options: Options, atoms: Atoms, description: Mapping[str, Any]) -> str:
    return f"{options.structure.name} ({atoms.get_chemical_formula()}), {description['name']}"


def _settings(options: Options) -> dict[str, Any]:
    """Return the settings that the command line says, for the record."""
    return {
        **options.common_settings(),
        "stabilise": _plain_step(options.stabilisation),
        "steps": [_plain_step(step) for step in options.steps],
        "symmetrise_force_constants": options.settings.fc_symmetry,
        "phonopy_arguments": list(options.arguments),
        "phonopy_tags": options.tags,
    }


def _phonon_settings(phonon: Phonopy) -> dict[str, Any]:
    """Return the settings that were chosen for the force constants, for the record."""
    lengths = np.linalg.norm(np.asarray(phonon.displacements)[..., -3:], axis=-1)
    dataset = phonon.dataset
    assert dataset is not None
    return {
        "supercell_matrix": phonon.supercell_matrix,
        "primitive_matrix": phonon.primitive_matrix,
        "symmetry_tolerance": phonon.symmetry.tolerance,
        "displacements": {
            "count": len(lengths),
            "length": float(lengths.max()),
            "random": "displacements" in dataset,
        },
    }


def _plain_step(step: Any) -> dict[str, Any] | None:
    return None if step is None else {"step": type(step).__name__.removesuffix("Step").lower(), **asdict(step)}
