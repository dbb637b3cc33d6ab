"""Phonons of a structure by a model and by a reference, with the program ``phonopy-mlp`` of the same environment."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from ase import Atoms

from ...errors import MissingExtraError, TrainingError
from ...files import encode_json, make_folder, parse_json, write_file
from ...frames import encode_frames, read_frames
from ...lock import holding
from ..calculators import get_digest, make_calculator

MODEL, REFERENCE = "model", "reference"
COMPARISON, FIGURE = "compare.yaml", "phonons.png"
STRUCTURE, DONE = "structure.extxyz", "done.json"

_PROGRAM = "import sys; from phonopy_mlp.cli.main import main; sys.exit(main(sys.argv[1:]))"
_OWN_PACKAGE = "phonopy_mlp"
_RECORD = "phonopy_mlp.yaml"


def compare_phonons(
    structure: Path,
    folder: Path,
    model: str,
    reference: str,
    *,
    dim: Sequence[int] = (2, 2, 2),
    mesh: Sequence[int] = (11, 11, 11),
    fmax: float | None = None,
    device: str = "auto",
) -> Path:
    """Run phonons of a structure at the minimum of each of two calculators, and compare them.

    Parameters
    ----------
    structure : Path
        Of a crystal that was not trained on, in any format of ASE.
    folder : Path
        It exists. Each run has a folder in it, which goes on where it was stopped, and is left alone once it is done.
    model : str
        Name of a calculator, or model file.
    reference : str
        The same, or the folder of a run of ``phonopy-mlp`` on the same crystal, such as the reference of an evaluation
        of another model.
    dim : sequence of int, optional
        Supercell.
    mesh : sequence of int, optional
        Mesh of q-points.
    fmax : float, optional
        Largest force that relaxations end at, eV/A; as ``phonopy-mlp`` has it, where not given.
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
        There is no such calculator, a folder has another run in it, another process is at work there, or a run failed.
    """
    if find_spec(_OWN_PACKAGE) is None:
        raise MissingExtraError(
            "Phonons cannot be computed", "phonopy-mlp is not installed", "Run 'pip install phonopy-mlp'"
        )
    (atoms, *_) = read_frames(structure)
    options = ["--relax", "--symmetrise", "--device", device]
    options += ["--dim", *map(str, dim), "--mesh", *map(str, mesh)]
    options += [] if fmax is None else ["--relax-fmax", str(fmax)]
    with holding(folder / "phonons.lock"):
        _run_phonons(folder / MODEL, atoms, model, options)
        if (Path(reference) / _RECORD).is_file():
            theirs = os.path.relpath(reference, folder)
        else:
            theirs = REFERENCE
            _run_phonons(folder / REFERENCE, atoms, reference, options)
        _run(["compare", theirs, MODEL, "--mesh", *map(str, mesh), "--figure", FIGURE], folder)
    return folder / COMPARISON


def _run_phonons(folder: Path, atoms: Atoms, calculator: str, options: Sequence[str]) -> None:
    name = str(Path(calculator).absolute()) if Path(calculator).is_file() else calculator
    words = ["run", f"--mlp={name}", STRUCTURE, *options]
    content = encode_frames([atoms])
    asked = {
        "words": words,
        "structure": hashlib.sha256(content).hexdigest(),
        "digest": get_digest(make_calculator(calculator)),
    }
    done = folder / DONE
    if done.is_file():
        try:
            before = parse_json(done.read_bytes())
        except ValueError as error:
            raise TrainingError(f"{done} cannot be read", f"{error}", f"Remove {folder} to begin anew") from error
        if before != asked:
            raise TrainingError(f"{folder} has other phonons in it", f"{done} says which", "Name another folder")
        return
    make_folder(folder)
    write_file(folder / STRUCTURE, content)
    _run(words, folder)
    write_file(done, encode_json(asked))


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
