"""Phonons of a structure by a model and by a reference, with the program ``phonopy-mlp`` of the same environment."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from ase.io import write

from ...errors import MissingExtraError, TrainingError
from ...frames import read_frames

COMPARISON, FIGURE = "compare.yaml", "phonons.png"

_PROGRAM = "import sys; from phonopy_mlp.cli.main import main; sys.exit(main(sys.argv[1:]))"
_OWN_PACKAGE = "phonopy_mlp"


def compare_phonons(
    structure: Path,
    folder: Path,
    model: str,
    reference: str,
    *,
    dim: Sequence[int] = (2, 2, 2),
    mesh: Sequence[int] = (11, 11, 11),
    device: str = "auto",
) -> Path:
    """Run phonons of a structure at the minimum of each of two calculators, and compare them.

    Parameters
    ----------
    structure : Path
        Of a crystal that was not trained on, in any format of ASE.
    folder : Path
        It exists. Each run has a folder in it, which goes on where it was stopped.
    model, reference : str
        Names of calculators, or model files.
    dim : sequence of int, optional
        Supercell.
    mesh : sequence of int, optional
        Mesh of q-points.
    device : str, optional

    Returns
    -------
    Path
        The YAML file with deviations of frequencies, model minus reference; a figure lies beside it.

    Raises
    ------
    MissingExtraError
        phonopy-mlp is not installed.
    FramesError
        The structure cannot be read.
    TrainingError
        A run failed.
    """
    if find_spec(_OWN_PACKAGE) is None:
        raise MissingExtraError(
            "Phonons cannot be computed", "phonopy-mlp is not installed", "Run 'pip install phonopy-mlp'"
        )
    (atoms, *_) = read_frames(structure)
    runs = {"model": model, "reference": reference}
    for name, calculator in runs.items():
        own = folder / name
        own.mkdir(exist_ok=True)
        write(own / "structure.extxyz", atoms, write_results=False)
        words = ["run", f"--mlp={_absolute(calculator)}", "structure.extxyz", "--relax", "--device", device]
        _run([*words, "--dim", *map(str, dim), "--mesh", *map(str, mesh)], own)
    _run(["compare", "reference", "model", "--mesh", *map(str, mesh), "--figure", FIGURE], folder)
    return folder / COMPARISON


def _absolute(calculator: str) -> str:
    return str(Path(calculator).absolute()) if Path(calculator).is_file() else calculator


def _run(words: Sequence[str], folder: Path) -> None:
    # A process of its own: this package does not import the other one.
    command = [sys.executable, "-c", _PROGRAM, *words]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    if done.returncode:
        raise TrainingError(
            f"'phonopy-mlp {' '.join(words)}' failed in {folder}",
            (done.stderr.strip().splitlines() or ["It said nothing"])[-1],
            "Run it there by hand to see more",
        )
