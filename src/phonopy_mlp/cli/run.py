"""The steps of ``phonopy --mlp`` in order: read, relax, force constants, files, and phonopy itself."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.io import write
from phonopy import Phonopy
from phonopy.structure.cells import PrimitiveMatrixAutoDefaultWarning

from phonopy_mlp.cli.delegate import excludes_gamma_acoustic, phonopy_symmetrises, run_phonopy
from phonopy_mlp.cli.options import DEFAULT_MODEL, Options
from phonopy_mlp.cli.progress import RelaxationBar, bar
from phonopy_mlp.cli.report import describe_groups, describe_plan, describe_relaxation, summarise
from phonopy_mlp.errors import SettingsError
from phonopy_mlp.force_constants import (
    ForceConstantsResult,
    compute_force_constants,
    default_distance,
    displace,
    force_constants_from_dataset,
    make_phonopy,
)
from phonopy_mlp.imaginary import THRESHOLD, CommensurateModes, compute_commensurate_modes
from phonopy_mlp.inputs import RunInput, read_input
from phonopy_mlp.output import check_folder, replacing, write_force_constants
from phonopy_mlp.phonons import MESH, PITCH, compute_phonons
from phonopy_mlp.plot import plot_phonons, write_figure
from phonopy_mlp.provenance import Provenance, write_provenance
from phonopy_mlp.registry import describe, get_calculator
from phonopy_mlp.relax import RelaxResult, relax
from phonopy_mlp.structures import check_elements, structure_digest
from phonopy_mlp.supercell import auto_supercell, parse_supercell, shortest_image_distance
from phonopy_mlp.symmetry import find_space_group, symmetrise

RELAXED_FILE = "relaxed.cif"


@dataclass(slots=True)
class _Log:
    """What the provenance file will say of the steps done so far."""

    steps: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def run(options: Options, command: Sequence[str]) -> int:
    """Do what a command line asks and return the exit status.

    Raises
    ------
    PhonopyMlpError
        Bad input, a calculator that fails, or a folder that cannot be written.

    """
    log = _Log()
    with warnings.catch_warnings():
        warnings.showwarning = _collecting(log)
        for shown in (UserWarning, RuntimeWarning):
            warnings.simplefilter("always", shown)
        for hidden in (DeprecationWarning, FutureWarning, PrimitiveMatrixAutoDefaultWarning):
            warnings.simplefilter("ignore", hidden)
        folder = Path.cwd()
        check_folder(folder)
        _check_surroundings(folder, options)
        given = read_input(options.structure)
        if given.has_forces and options.dry_run is False:
            return _from_forces(options, command, given, log, folder)
        return _from_calculator(options, command, given, log, folder)


def _from_forces(options: Options, command: Sequence[str], given: RunInput, log: _Log, folder: Path) -> int:
    if options.relax or options.symmetrise is not None or options.supercell is not None:
        raise SettingsError(
            f"'{given.path}' has its forces already",
            "--relax, --symmetrise and --dim would make them wrong",
            "Leave these options out, or start from the structure",
        )
    _say(f"Forces were read from '{given.path}'; the calculator is not needed.")
    phonon = _phonopy(given.atoms, options, given)
    phonon.dataset = given.dataset
    result = force_constants_from_dataset(phonon, symmetrise=options.settings.fc_symmetry)
    return _finish(options, command, given, given.atoms, result, {"name": "forces from file"}, log, folder)


def _from_calculator(options: Options, command: Sequence[str], given: RunInput, log: _Log, folder: Path) -> int:
    if given.dataset is not None and (options.relax or options.symmetrise is not None):
        raise SettingsError(
            f"'{given.path}' brings its own displacements",
            "they belong to the structure as it is, which --relax and --symmetrise would change",
            "Leave these options out, or start from the structure",
        )
    _say(describe_groups(given.atoms, str(given.path)))
    calculator = get_calculator(
        options.model or DEFAULT_MODEL, device=options.device, dtype=options.dtype, head=options.head
    )
    description = describe(calculator)
    check_elements(given.atoms, description)
    if options.dry_run:
        phonon = _phonopy(given.atoms, options, given)
        _displace(phonon, options, given, calculator)
        _say(describe_plan(phonon, given.atoms, calculator))
        return 0
    atoms = _prepared(given.atoms, calculator, options, log, folder)
    phonon = _phonopy(atoms, options, given)
    _displace(phonon, options, given, calculator)
    count = len(phonon.supercells_with_displacements or [])
    _say(f"{count} displacements in a supercell of {len(phonon.supercell)} atoms.")
    result = compute_force_constants(phonon, calculator, symmetrise=options.settings.fc_symmetry, progress=bar)
    return _finish(options, command, given, atoms, result, description, log, folder)


def _prepared(atoms: Atoms, calculator: BaseCalculator, options: Options, log: _Log, folder: Path) -> Atoms:
    """Relax and symmetrise as asked."""
    if options.relax:
        relaxed = _relaxed(atoms, calculator, options, None, "relax", log)
        atoms = relaxed.atoms
    if options.symmetrise is not None:
        group = find_space_group(atoms, options.symmetrise)
        atoms = symmetrise(atoms, options.symmetrise)
        log.steps["symmetrise"] = {"tolerance": options.symmetrise, "space_group": str(group)}
        _say(f"Symmetrised to {group}.")
        if options.relax:
            atoms = _relaxed(atoms, calculator, options, options.symmetrise, "relax_in_symmetry", log).atoms
    if options.relax or options.symmetrise is not None:
        with replacing(folder / RELAXED_FILE) as path:
            write(path, atoms, format="cif")
    return atoms


def _relaxed(
    atoms: Atoms, calculator: BaseCalculator, options: Options, group: float | None, name: str, log: _Log
) -> RelaxResult:
    started = time.perf_counter()
    with RelaxationBar(options.relax_fmax) as show:
        result = relax(atoms, calculator, fmax=options.relax_fmax, fix_symmetry=group, on_step=show)
    log.steps[name] = {
        "fmax": result.fmax,
        "steps": result.steps,
        "energy_change": result.energy_change,
        "volume_change": result.volume_change,
        "residual_force": result.residual_force,
        "residual_stress": result.residual_stress,
        "space_groups": [str(found) for found in result.final_groups],
        "seconds": round(time.perf_counter() - started, 2),
    }
    _say(describe_relaxation(result))
    return result


def _phonopy(atoms: Atoms, options: Options, given: RunInput) -> Phonopy:
    settings = options.settings
    # As phonopy does: the automatic band path needs the automatic primitive cell.
    if isinstance(settings.band_paths, str) and settings.band_paths == "auto":
        primitive: Any = "auto"
    else:
        primitive = settings.primitive_matrix if settings.primitive_matrix is not None else given.primitive_matrix
    return make_phonopy(
        atoms,
        _supercell_matrix(atoms, options, given),
        primitive_matrix="auto" if primitive is None else primitive,
        symprec=settings.symmetry_tolerance or 1e-5,
        is_symmetry=settings.is_symmetry,
    )


def _supercell_matrix(atoms: Atoms, options: Options, given: RunInput) -> np.ndarray[Any, Any]:
    if options.supercell is None:
        if given.supercell_matrix is not None:
            return given.supercell_matrix
        if options.settings.supercell_matrix is not None:
            return np.asarray(options.settings.supercell_matrix)
    elif given.dataset is not None:
        raise SettingsError(f"'{given.path}' brings its own supercell", "--dim would contradict it", "Leave --dim out")
    elif options.supercell != ("auto",):
        return parse_supercell(options.supercell)
    matrix = auto_supercell(atoms, options.supercell_length)
    distance = shortest_image_distance(matrix @ atoms.cell.array)
    _say(
        f"Supercell {' x '.join(str(n) for n in np.diag(matrix))}: the smallest whose shortest image distance "
        f"({distance:.2f} A) exceeds {options.supercell_length:g} A."
    )
    return matrix


def _displace(phonon: Phonopy, options: Options, given: RunInput, calculator: BaseCalculator) -> None:
    if given.dataset is not None:
        phonon.dataset = given.dataset
        return
    settings = options.settings
    at_finite_temperature = settings.random_displacement_temperature is not None
    displace(
        phonon,
        default_distance(calculator) if settings.displacement_distance is None else settings.displacement_distance,
        is_plusminus=settings.is_plusminus_displacement,
        is_diagonal=options.diagonal,
        is_trigonal=options.trigonal,
        number_of_snapshots=None if at_finite_temperature else settings.random_displacements,
        random_seed=settings.random_seed,
    )


def _finish(
    options: Options,
    command: Sequence[str],
    given: RunInput,
    atoms: Atoms,
    result: ForceConstantsResult,
    description: Mapping[str, Any],
    log: _Log,
    folder: Path,
) -> int:
    """Look for imaginary modes, write the files, draw the figure, and let phonopy do the rest."""
    if options.settings.masses is not None:
        result.phonon.masses = options.settings.masses
    modes = compute_commensurate_modes(result.phonon)
    _record(result, modes, log)
    own = not phonopy_symmetrises(options)
    write_force_constants(result, folder)
    if options.figure is not None:
        _draw(options, result, atoms, description)
    write_provenance(
        Provenance(
            command=tuple(command),
            settings=_settings(options, result.phonon),
            input={
                "file": str(given.path),
                "file_digest": given.digest,
                "formula": atoms.get_chemical_formula(),
                "atoms": len(atoms),
                "structure_digest": structure_digest(atoms),
            },
            calculator=description,
            steps=log.steps,
            warnings=tuple(log.warnings),
        ),
        folder,
    )
    return run_phonopy(options, own_force_constants=own)


def _record(result: ForceConstantsResult, modes: CommensurateModes, log: _Log) -> None:
    log.steps["force_constants"] = {
        "method": "finite displacements",
        "evaluations": result.evaluations,
        "residual_force": result.residual_force,
        "acoustic_sum_rule_violation": result.drift,
        "changed_by_symmetrisation": result.change,
        "lowest_commensurate_frequency": modes.lowest,
        "imaginary_commensurate_modes": modes.count_imaginary(),
        "seconds": round(result.seconds, 2),
    }
    _say(
        f"Lowest frequency at the {len(modes.qpoints)} commensurate q-points, translations left out: "
        f"{modes.lowest:.4f} THz."
    )
    if modes.count_imaginary():
        warnings.warn(
            f"{modes.count_imaginary()} imaginary modes below -{THRESHOLD:g} THz at commensurate q-points (lowest "
            f"{modes.lowest:.3f} THz). phonopy leaves imaginary modes out of thermal properties without a word: relax "
            "further (--relax), or follow the modes to a stable structure.",
            UserWarning,
            stacklevel=2,
        )


def _draw(options: Options, result: ForceConstantsResult, atoms: Atoms, description: Mapping[str, Any]) -> None:
    assert options.figure is not None
    settings = options.settings
    mesh: Any = MESH if settings.mesh_numbers is None else settings.mesh_numbers
    if np.ndim(mesh) > 1:
        raise SettingsError("--figure with a generalised mesh", "its figure needs a plain one", "Give --mesh N N N")
    temperatures = np.arange(
        settings.min_temperature, settings.max_temperature + settings.temperature_step / 2, settings.temperature_step
    )
    phonons = compute_phonons(
        result.phonon,
        mesh=mesh,
        pitch=settings.frequency_pitch or PITCH,
        temperatures=temperatures,
        cutoff_frequency=settings.cutoff_frequency,
        exclude_gamma_acoustic=excludes_gamma_acoustic(options),
    )
    formula = atoms.get_chemical_formula()
    write_figure(plot_phonons(phonons, f"{options.structure.name} ({formula}), {description['name']}"), options.figure)
    _say(f"Figure: {options.figure}")
    _say(summarise(phonons, atoms, result))


def _settings(options: Options, phonon: Phonopy) -> dict[str, Any]:
    return {
        "model": options.model or DEFAULT_MODEL,
        "device": options.device,
        "dtype": options.dtype,
        "head": options.head,
        "relax": options.relax,
        "relax_fmax": options.relax_fmax,
        "symmetrise": options.symmetrise,
        "supercell_matrix": phonon.supercell_matrix,
        "primitive_matrix": phonon.primitive_matrix,
        "symmetry_tolerance": options.settings.symmetry_tolerance or 1e-5,
        "displacements": _displacement_length(phonon),
        "symmetrise_force_constants": options.settings.fc_symmetry,
        "phonopy_arguments": list(options.arguments),
    }


def _displacement_length(phonon: Phonopy) -> dict[str, Any]:
    dataset = phonon.dataset
    assert dataset is not None
    lengths = np.linalg.norm(np.asarray(phonon.displacements)[..., -3:], axis=-1)
    return {"count": len(lengths), "length": float(lengths.max()), "random": "displacements" in dataset}


def _check_surroundings(folder: Path, options: Options) -> None:
    if (folder / "FORCE_CONSTANTS").exists() and not options.dry_run:
        raise SettingsError(
            f"A file FORCE_CONSTANTS lies in '{folder}'",
            "phonopy would read it instead of the force constants of this run",
            "Move it away, or work in another folder",
        )
    if (folder / "BORN").exists() and not options.use_born:
        warnings.warn(
            "A BORN file lies here and is not used. Add --use-born for the non-analytical term.",
            UserWarning,
            stacklevel=2,
        )


def _collecting(log: _Log) -> Any:
    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        text = str(message)
        if text not in log.warnings:
            log.warnings.append(text)
            print(f"Warning: {text}", file=sys.stderr)

    return show


def _say(text: str) -> None:
    print(text, flush=True)
