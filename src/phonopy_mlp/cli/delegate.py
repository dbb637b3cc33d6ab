"""phonopy's own program, run on the files that we prepared."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import IO

from phonopy_mlp.cli.options import OTHER_MESH_OPTIONS, THERMAL_OPTIONS, Options, drop
from phonopy_mlp.files import explain, put
from phonopy_mlp.output import FORCE_CONSTANTS_FILE, PARAMS_FILE
from phonopy_mlp.phonons import MESH

_SETUP_TAGS = ("CREATE_DISPLACEMENTS", "RANDOM_DISPLACEMENTS", "SAVE_PARAMS")
"""Tags of a configuration file that phonopy's main program refuses, since phonopy-init does these things."""

_THERMAL_TAGS = ("TPROP",)
_OTHER_MESH_TAGS = ("DOS", "PDOS", "BAND", "BAND_LABELS", "ANIME", "ANIME_TYPE")

_INPUTS = (PARAMS_FILE, FORCE_CONSTANTS_FILE, "FORCE_CONSTANTS", "FORCE_SETS", "BORN", "QPOINTS", "polymlp.yaml")
"""Files that phonopy looks for where it works."""

_APART = ".phonopy-"
"""Beginning of the name of the folder where phonopy works."""

_NO_ROOM = 100
"""Exit status, with the number of the system's error added, where phonopy cannot write."""

_PROGRAM = """
import errno, sys
from {module} import {attribute} as run
sys.argv[0] = "phonopy"
try:
    sys.exit(run())
except Exception as error:
    full = errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC
    # What is raised while files are closed may hide why.
    while error and getattr(error, "errno", None) not in full:
        error = error.__context__
    if error is None:
        raise
    sys.exit({status} + error.errno)
"""


@dataclass(frozen=True, slots=True)
class _Run:
    """One run of phonopy: its arguments, and the tags that its configuration file must not have."""

    arguments: list[str]
    without: tuple[str, ...]


def run_phonopy(options: Options, folder: Path, *, own_force_constants: bool, tolerance: float) -> int:
    """Run phonopy on ``phonopy_params.yaml`` with the user's options and return its exit status.

    Its files appear in the folder when all are complete. phonopy computes thermal properties or densities of states in
    a run, not both: it runs twice where both are asked.

    Parameters
    ----------
    options : Options
        The command line.
    folder : Path
        Of the results.
    own_force_constants : bool
        Whether ``force_constants.hdf5`` is ours, symmetrised as asked: phonopy then reads it as it is.
    tolerance : float
        Symmetry tolerance in A that the force constants were made with; phonopy does not take it from the file.

    Raises
    ------
    OutputError
        The folder is full.

    """
    # Of runs that were killed: nobody else is at work in this folder.
    for left in folder.glob(f"{_APART}*"):
        shutil.rmtree(left, ignore_errors=True)
    try:
        with tempfile.TemporaryDirectory(prefix=_APART, dir=folder) as apart:
            return _run_apart(Path(apart), folder, options, own_force_constants, tolerance)
    except OSError as error:
        raise explain(error, f"What phonopy makes in '{folder}'") from error


def phonopy_symmetrises(options: Options) -> bool:
    """Return whether the user asked phonopy for force constants of its own making."""
    settings = options.settings
    return bool(
        settings.fc_calculator
        or settings.fc_calculator_options
        or settings.fc_spg_symmetry
        or not settings.read_force_constants
    )


def excludes_gamma_acoustic(options: Options) -> bool:
    """Return whether thermal properties leave the acoustic modes at Gamma out.

    They do where translations are exact by symmetrisation and only rounding would enter, unless the user, who may
    decide it with phonopy's own option or tag, says otherwise.
    """
    settings = options.settings
    return settings.exclude_gamma_acoustic or (settings.fc_symmetry and "exclude_gamma_acoustic" not in options.tags)


def _runs(options: Options) -> list[_Run]:
    settings, arguments = options.settings, list(options.arguments)
    sampled = settings.is_thermal_properties or settings.is_dos_mode or settings.pdos_indices is not None
    if sampled and settings.mesh_numbers is None:
        arguments += ["--mesh", *map(str, MESH)]
    if settings.is_thermal_properties and (settings.is_dos_mode or settings.pdos_indices is not None):
        return [
            _Run(drop(arguments, THERMAL_OPTIONS), (*_SETUP_TAGS, *_THERMAL_TAGS)),
            _Run(drop(arguments, OTHER_MESH_OPTIONS), (*_SETUP_TAGS, *_OTHER_MESH_TAGS)),
        ]
    return [_Run(arguments, _SETUP_TAGS)]


def _run_apart(apart: Path, folder: Path, options: Options, own_force_constants: bool, tolerance: float) -> int:
    """Run phonopy in a folder of its own, and take what it has made from there when all is complete."""
    given = {}
    for path in (folder / name for name in _INPUTS):
        if path.is_file():
            given[path.name] = Path(shutil.copy2(path, apart)).stat().st_mtime_ns
    for each in _runs(options):
        arguments = each.arguments
        if options.settings.symmetry_tolerance is None:
            arguments = [*arguments, "--tolerance", str(tolerance)]
        status = _run(arguments, each.without, options, own_force_constants, apart)
        if status > _NO_ROOM:
            raise OSError(status - _NO_ROOM, os.strerror(status - _NO_ROOM))
        if status != 0:
            return status
    for path in sorted(apart.iterdir()):
        if given.get(path.name) != path.stat().st_mtime_ns:
            put(path, folder / path.name)
    return 0


def _run(
    arguments: Sequence[str], without: Sequence[str], options: Options, own_force_constants: bool, where: Path
) -> int:
    (program,) = entry_points(group="console_scripts", name="phonopy")
    code = _PROGRAM.format(module=program.module, attribute=program.attr, status=_NO_ROOM)
    # phonopy_params.yaml is ours, with the forces; --sp would put force constants in their place.
    words = [PARAMS_FILE, *drop(arguments, ("--sp", "--save-params"))]
    words.append("--no-fc-symmetry" if own_force_constants else "--noreadfc")
    if own_force_constants and excludes_gamma_acoustic(options):
        words.append("--exclude-gamma-acoustic")
    if not options.use_born:
        words.append("--nonac")
    with tempfile.TemporaryDirectory() as folder:
        words = _with_clean_config(words, options.config, without, Path(folder))
        sys.stdout.flush()
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, *words],
            check=False,
            cwd=where,
            env={**os.environ, "PHONOPY_MLP_NO_HOOK": "1"},
            stdout=_descriptor(sys.stdout),
            stderr=_descriptor(sys.stderr),
            text=True,
        )
        sys.stdout.write(done.stdout or "")
        sys.stderr.write(done.stderr or "")
        return done.returncode


def _descriptor(stream: IO[str]) -> int:
    """Return what a process may write to: the stream's file, or a pipe where it is none, as in a screening."""
    try:
        return stream.fileno()
    except OSError:
        return subprocess.PIPE


def _with_clean_config(words: list[str], config: Path | None, without: Sequence[str], folder: Path) -> list[str]:
    if config is None:
        return words
    kept, dropping, goes_on = [], False, False
    for line in config.read_text(encoding="utf-8").splitlines():
        # A value goes on in the next line after "+++".
        dropping = dropping if goes_on else line.partition("=")[0].strip().upper() in without
        goes_on = "+++" in line
        if not dropping:
            kept.append(line)
    clean = folder / config.name
    clean.write_text("\n".join(kept) + "\n", encoding="utf-8")
    return [*drop(words, ("--config",)), "--config", str(clean)]
