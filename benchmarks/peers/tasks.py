"""What is computed, and the command line that each program computes it with."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ase import Atoms

from mace_mof_calc import structures

PEERS = ("ours", "stock", "janus")
DISTANCE = 0.001
"""Displacement (A) of the finite differences."""

RATTLE = 0.01
"""Standard deviation (A) of the displacements that take all symmetry off a structure."""

_BIN = Path(sys.executable).parent
_MESH = ("11", "11", "11")
_BAND_POINTS = "51"
_TEMPERATURES = ("0", "1000", "50")


@dataclass(frozen=True, slots=True)
class Task:
    """One calculation.

    Attributes
    ----------
    title : str
        Its name in tables.
    structure : callable
        Returns the unit cell.
    dim : tuple of int
        Diagonal of the supercell matrix.
    peers : tuple of str
        The programs that do it, of `PEERS`.
    whole : bool, optional
        Whether bands, density of states and thermal properties follow.
    """

    title: str
    structure: Callable[[], Atoms]
    dim: tuple[int, int, int]
    peers: tuple[str, ...]
    whole: bool = False


def _mof5() -> Atoms:
    return structures.load("MOF-5")


def _mof74_without_symmetry() -> Atoms:
    atoms = structures.load("MOF-74")
    atoms.rattle(RATTLE, seed=0)
    return atoms


TASKS = {
    "mof5": Task("MOF-5 force constants 2x2x2", _mof5, (2, 2, 2), PEERS),
    "mof5-3x3x3": Task("MOF-5 force constants 3x3x3", _mof5, (3, 3, 3), ("ours",)),
    "mof5-whole": Task("MOF-5 whole run", _mof5, (2, 2, 2), ("ours", "janus"), whole=True),
    "mof74-p1": Task("MOF-74 P1 force constants 2x2x2", _mof74_without_symmetry, (2, 2, 2), PEERS),
}


def command(peer: str, task: Task, model: str, structure: str, janus: Path) -> list[str]:
    """Return the command line of a program for a task.

    Parameters
    ----------
    peer : str
        One of `PEERS`.
    task : Task
        What to compute.
    model, structure : str
        Paths of the model file and of the structure file.
    janus : Path
        The program ``janus``.
    """
    dim = [str(n) for n in task.dim]
    if peer == "ours":
        words = [str(_BIN / "phonopy"), "--mlp", model, structure, "--device", "cpu", "--dim", *dim]
        return words + (_our_properties() if task.whole else [])
    if peer == "stock":
        return [sys.executable, "-m", "peers.stock", model, structure, "--dim", *dim, "--distance", str(DISTANCE)]
    words = [str(janus), "phonons", "--arch", "mace", "--model", model, "--struct", structure, "--device", "cpu"]
    words += ["--calc-kwargs", "{'default_dtype': 'float64'}", "--supercell", " ".join(dim)]
    words += ["--displacement", str(DISTANCE), "--no-minimize", "--no-tracker", "--no-progress-bar"]
    words += ["--file-prefix", "janus"]
    return words + (_janus_properties() if task.whole else [])


def result_files(peer: str) -> tuple[str, str]:
    """Return the names of the files that a program leaves cells and force constants in."""
    if peer == "janus":
        return "janus-phonopy.yml", "janus-force_constants.hdf5"
    return "phonopy_params.yaml", "force_constants.hdf5"


def _our_properties() -> list[str]:
    lowest, highest, step = _TEMPERATURES
    words = ["--band", "auto", "--band-points", _BAND_POINTS, "--dos", "--mesh", *_MESH]
    return [*words, "-t", "--tmin", lowest, "--tmax", highest, "--tstep", step]


def _janus_properties() -> list[str]:
    """Return options for what `_our_properties` asks for; eigenvectors and velocities, which it does not, are off."""
    lowest, highest, step = _TEMPERATURES
    words = ["--bands", "--n-qpoints", _BAND_POINTS, "--no-write-full", "--dos", "--mesh", *_MESH]
    return [*words, "--thermal", "--temp-min", lowest, "--temp-max", highest, "--temp-step", step]
