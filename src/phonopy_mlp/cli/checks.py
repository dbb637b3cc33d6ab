"""Refusals of what a command line asks for, before any work is done."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from phonopy_mlp.cli.options import Options
from phonopy_mlp.errors import OutputError, SettingsError
from phonopy_mlp.files import check_folder
from phonopy_mlp.inputs import RunInput
from phonopy_mlp.output import FORCE_CONSTANTS_FILE, PARAMS_FILE, RELAXED_FILE, STABILISED_FILE, TRAIL_FILE
from phonopy_mlp.plot import check_figure
from phonopy_mlp.provenance import read_provenance
from phonopy_mlp.report.assets import check_installed
from phonopy_mlp.symmetry import check_tolerance

BORN_FILE = "BORN"
FORCE_CONSTANTS_TEXT = "FORCE_CONSTANTS"


def working_folder() -> Path:
    """Return the current folder, where results go.

    Raises
    ------
    OutputError
        It is gone, or cannot be written.

    """
    try:
        folder = Path.cwd()
    except FileNotFoundError as error:
        raise OutputError("The current folder is gone", str(error), "Change to one that exists") from error
    check_folder(folder)
    return folder


def check_options(options: Options) -> None:
    """Raise `SettingsError` for values that make no sense, whatever the structure is."""
    settings = options.settings
    _check_mesh(options)
    if settings.symmetry_tolerance is not None:
        check_tolerance(settings.symmetry_tolerance)
    options.supercell.check()
    if settings.is_thermal_properties or options.figure is not None:
        _check_temperatures(options)
    if settings.random_displacement_temperature is not None:
        raise SettingsError(
            "--rd-temperature",
            "displacements at a temperature are drawn from phonons, which are not there yet",
            "Compute the phonons first, make the displacements with phonopy-init, and give its phonopy_disp.yaml here",
        )
    count = settings.random_displacements
    if isinstance(count, int) and count < 1:
        raise SettingsError(f"{count} random displacements", "at least one is needed", "Give for example --rd 10")
    if settings.magnetic_moments is not None:
        raise SettingsError(
            "Magnetic moments", "the calculators of phonopy-mlp know no spin", "Leave --magmom or MAGMOM out"
        )
    if options.report:
        check_installed()
    for step in (options.stabilisation, *options.steps):
        if step is not None:
            step.check(options.mesh, options.qha_temperatures, options.relaxing)
    if options.stabilisation is not None and settings.primitive_matrix is not None:
        raise SettingsError(
            "--stabilise with --pa", "the cell may grow, and with it its primitive cell", "Leave --pa out"
        )
    if options.figure is not None:
        check_figure(options.figure)
        if settings.sigma is not None or settings.classical:
            raise SettingsError(
                "--figure with --sigma or --classical",
                "it draws the tetrahedron method's density of states and quantum statistics",
                "Leave one of them out",
            )


def check_against_input(options: Options, given: RunInput) -> None:
    """Raise `SettingsError` for options that contradict what the input brings with it."""
    moves = any(each is not None for each in (options.relaxation, options.stabilisation, options.symmetrise))
    if given.has_forces and (moves or options.supercell.words is not None):
        raise SettingsError(
            f"'{given.path}' has its forces already",
            "--relax, --stabilise, --symmetrise and --dim would make them wrong",
            "Leave these options out, or start from the structure",
        )
    if not given.has_forces and is_file(options.structure, PARAMS_FILE):
        raise SettingsError(
            f"'{given.path}' lacks forces", "the forces of this run would go into a file of that name", "Rename it"
        )
    if given.has_forces and options.steps:
        raise SettingsError(
            f"'{given.path}' has its forces already",
            "--eos, --elastic, --qha, --sscha and --committee compute others, of a structure",
            "Start from the structure",
        )
    if given.dataset is not None and moves:
        raise SettingsError(
            f"'{given.path}' brings its own displacements",
            "they belong to the structure as it is, which --relax, --stabilise and --symmetrise would change",
            "Leave these options out, or start from the structure",
        )
    if given.dataset is not None and options.displacement_words:
        raise SettingsError(
            f"'{given.path}' brings its own displacements",
            f"{' '.join(options.displacement_words)} would ask for others",
            "Leave these options out, or start from the structure",
        )
    if options.use_born and given.nac_params is None and not Path(BORN_FILE).is_file():
        raise SettingsError(
            "--use-born",
            f"there is no file {BORN_FILE} here, and '{given.path}' has no Born charges",
            f"Put phonopy's {BORN_FILE} file here, or leave the option out",
        )


def check_surroundings(options: Options, folder: Path) -> tuple[str, ...]:
    """Return the files in the folder that an earlier run wrote, which this one may replace or remove.

    Raises
    ------
    SettingsError
        Other files would be in the way, or overwritten.

    """
    earlier = _written_earlier(folder)
    if not options.dry_run:
        _check_foreign(options, folder, earlier)
    if (folder / BORN_FILE).exists() and not options.use_born:
        warnings.warn(
            "A BORN file lies here and is not used. Add --use-born for the non-analytical term.", stacklevel=2
        )
    return earlier


def check_overwriting(structure: Path, names: Iterable[str]) -> None:
    """Raise `SettingsError` for a structure that would be overwritten by one of these files in the current folder."""
    for name in names:
        if is_file(structure, name):
            raise SettingsError(
                f"The structure '{structure}' would be overwritten",
                f"{name} is a file that comes out",
                "Rename it, or work in another folder",
            )


def is_file(path: Path, name: str) -> bool:
    """Return whether a path is the file of a name in the current folder."""
    return path.resolve() == Path(name).resolve()


def _check_foreign(options: Options, folder: Path, earlier: tuple[str, ...]) -> None:
    if (folder / FORCE_CONSTANTS_TEXT).exists() and FORCE_CONSTANTS_TEXT not in earlier:
        raise SettingsError(
            f"A file {FORCE_CONSTANTS_TEXT} lies in '{folder}'",
            "phonopy would read it instead of the force constants of this run",
            "Move it away, or work in another folder",
        )
    for name in (PARAMS_FILE, FORCE_CONSTANTS_FILE):
        if (folder / name).exists() and name not in earlier and not is_file(options.structure, name):
            raise SettingsError(
                f"A file {name} of another calculation lies in '{folder}'",
                "this run would overwrite it",
                "Move it away, or work in another folder",
            )
    check_overwriting(options.structure, options.structures_written(stabilised=options.stabilisation is not None))


def _written_earlier(folder: Path) -> tuple[str, ...]:
    record = read_provenance(folder)
    if record is None:
        return ()
    steps, settings = record.get("steps") or {}, record.get("settings") or {}
    origin = steps.get("forces_from") or {}
    wrote = []
    if "force_constants" in steps:
        wrote.append(FORCE_CONSTANTS_FILE)
        if origin or settings.get("model") is not None:
            wrote.append(PARAMS_FILE)
    done = {*steps, *(origin.get("steps") or {})}
    if {"relax", "symmetrise"} & done:
        wrote.append(RELAXED_FILE)
    if "stabilise" in done:
        wrote += [STABILISED_FILE, TRAIL_FILE]
    if "write_force_constants" in (settings.get("phonopy_tags") or {}):
        wrote.append(FORCE_CONSTANTS_TEXT)
    return tuple(wrote)


def _check_mesh(options: Options) -> None:
    mesh = options.settings.mesh_numbers
    if mesh is None:
        return
    numbers = np.asarray(mesh, dtype=float)
    sound = numbers.shape in ((), (3,), (3, 3)) and np.isfinite(numbers).all()
    positive = np.linalg.det(numbers) > 0 if numbers.shape == (3, 3) else (numbers > 0).all()
    if not (sound and positive):
        raise SettingsError(
            f"Mesh '{' '.join(f'{n:g}' for n in numbers.ravel())}'",
            "it must be a positive length in A, or three positive integers",
            "Give for example --mesh 11 11 11",
        )
    if numbers.ndim == 2 and options.figure is not None:
        raise SettingsError("--figure with a generalised mesh", "its figure needs a plain one", "Give --mesh N N N")


def _check_temperatures(options: Options) -> None:
    settings = options.settings
    low, high, step = settings.min_temperature, settings.max_temperature, settings.temperature_step
    if not (np.isfinite([low, high, step]).all() and 0 <= low <= high and step > 0):
        raise SettingsError(
            f"Temperatures from {low:g} to {high:g} K in steps of {step:g} K",
            "they must not be negative, must rise, and the step must be positive",
            "Give for example --tmin 0 --tmax 1000 --tstep 10",
        )
