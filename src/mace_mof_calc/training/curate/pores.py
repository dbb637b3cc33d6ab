"""How wide the pores of a framework are, from Zeo++."""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from ase import Atoms

from ...errors import StructureError
from ..extras import require

# Zeo++ writes to the standard output of C, and ends the process where something is not to its liking.
_WORK = """
import sys
from pyzeo.high_accuracy import high_accuracy_atomnet
from pyzeo.netstorage import AtomNetwork
network = AtomNetwork.read_from_V1(sys.argv[1])
high_accuracy_atomnet(network, "OCC")
network.calculate_free_sphere_parameters(sys.argv[2])
"""
_ATTEMPTS = 3
_FAILED = "Zeo++ cannot compute its pores"

#: What Zeo++ may take for a structure at a time, seconds.
TIME_LIMIT = 600.0

#: Atoms are displaced by this, Angstrom, where Zeo++ fails: it does on corners at which more than four cells meet.
DISPLACEMENT = 1e-4


class _FailedError(StructureError):
    """Zeo++ has ended without an answer, which it may have for slightly displaced atoms."""


@dataclass(frozen=True, slots=True)
class PoreDiameters:
    """Diameters of hard spheres between hard atoms, Angstrom.

    Attributes
    ----------
    limiting : float
        Pore limiting diameter: of the largest sphere that gets through the crystal without end, along one direction at
        least; 0 where there is no way through.
    largest : float
        Of the largest sphere that fits anywhere.
    """

    limiting: float
    largest: float


def compute_pore_diameters(atoms: Atoms) -> PoreDiameters:
    """Compute pore diameters with Zeo++ (Willems et al., Microporous Mesoporous Mater. 149, 134 (2012)).

    The atoms are spheres with Zeo++'s own radii, which are the van der Waals radii of the Cambridge Crystallographic
    Data Centre (H 1.09, C 1.70, N 1.55, O 1.52, Zn 1.39, Cu 1.40, others such as Al and Zr 2.00 Angstrom). Its
    tessellation of the void is exact where all radii are equal. Where they are not, larger atoms are made up of spheres
    of the smallest radius (Zeo++'s high accuracy, with few spheres), and diameters are some tenths of an Angstrom too
    large (``benchmarks/pores.py``).

    Parameters
    ----------
    atoms : Atoms
        Periodic along all three axes.

    Returns
    -------
    PoreDiameters

    Raises
    ------
    MissingExtraError
        pyzeo is not installed.
    StructureError
        Zeo++ cannot do it, such as for an element that it has no radius of, crashes, or takes longer than `TIME_LIMIT`.
    """
    require("pyzeo")
    generator = np.random.default_rng(0)
    displaced = atoms
    for _ in range(_ATTEMPTS - 1):
        with contextlib.suppress(_FailedError):
            return _run_zeo(displaced)
        displaced = atoms.copy()
        displaced.positions += generator.normal(scale=DISPLACEMENT, size=atoms.positions.shape)
    return _run_zeo(displaced)


def _run_zeo(atoms: Atoms) -> PoreDiameters:
    with TemporaryDirectory() as folder:
        given, found = Path(folder, "structure.v1"), Path(folder, "diameters.txt")
        given.write_text(_format_v1(atoms), encoding="utf-8")
        said = _call_zeo(given, found)
        try:
            words = found.read_text(encoding="utf-8").split()
            included, limiting = float(words[1]), float(words[2])
        except (OSError, IndexError, ValueError) as error:
            raise _FailedError(_FAILED, said) from error
    if not (math.isfinite(included) and math.isfinite(limiting)):
        raise _FailedError(_FAILED, f"It finds diameters of {limiting} and {included} A")
    return PoreDiameters(limiting, included)


def _call_zeo(given: Path, found: Path) -> str:
    """Run Zeo++ in a process of its own, and return the end of what it says."""
    command = [sys.executable, "-c", _WORK, str(given), str(found)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, timeout=TIME_LIMIT
        )
    except subprocess.TimeoutExpired as error:
        raise StructureError(_FAILED, f"It was not done after {TIME_LIMIT:g} s") from error
    said = " ".join((done.stderr or done.stdout).split())[-200:]
    return said or f"It ended with status {done.returncode} and without a word"


def _format_v1(atoms: Atoms) -> str:
    """Write Zeo++'s simplest format, whose first vector lies along x and whose second lies in the xy plane."""
    cell = atoms.cell.standard_form()[0].array
    positions = atoms.get_scaled_positions() @ cell
    lines = ["Unit cell vectors:"]
    lines += [f"v{name}= {x:.10f} {y:.10f} {z:.10f}" for name, (x, y, z) in zip("abc", cell, strict=True)]
    lines += [str(len(atoms))]
    lines += [
        f"{symbol} {x:.10f} {y:.10f} {z:.10f}" for symbol, (x, y, z) in zip(atoms.symbols, positions, strict=True)
    ]
    return "\n".join(lines) + "\n"
