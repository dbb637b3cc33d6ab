"""Files of force constants, harmonic and self-consistent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from phonopy import Phonopy
from phonopy.file_IO import write_force_constants_to_hdf5

from phonopy_mlp.anharmonic import SschaResult
from phonopy_mlp.files import replacing, write_yaml
from phonopy_mlp.force_constants import ForceConstantsResult

PARAMS_FILE = "phonopy_params.yaml"
FORCE_CONSTANTS_FILE = "force_constants.hdf5"
SSCHA_FILE = "sscha.yaml"
REPORT_FILE = "report.html"


def write_force_constants(result: ForceConstantsResult, folder: Path, *, keep_params: bool = False) -> None:
    """Write ``phonopy_params.yaml`` (cells, displacements, forces) and ``force_constants.hdf5`` (eV/A^2).

    With `keep_params` the first stays as it is, for it is where the forces came from.
    """
    phonon = result.phonon
    if not keep_params:
        with replacing(folder / PARAMS_FILE) as path:
            phonon.save(path, settings={"force_sets": True, "displacements": True, "force_constants": False})
    with replacing(folder / FORCE_CONSTANTS_FILE) as path:
        write_force_constants_to_hdf5(
            result.force_constants, filename=str(path), p2s_map=phonon.primitive.p2s_map, physical_unit="eV/angstrom^2"
        )


def write_sscha(result: SschaResult, phonon: Phonopy, folder: Path) -> None:
    """Write ``sscha.yaml`` and, for each temperature, ``phonopy_sscha-300K.yaml`` with its force constants.

    Parameters
    ----------
    result : SschaResult
    phonon : Phonopy
        What the calculation started from.
    folder : Path
        Where to.

    """
    units = {"energy": "eV", "frequency": "THz", "temperature": "K"}
    write_yaml(folder / SSCHA_FILE, {"unit": units, "per": "primitive cell", **result.describe()})
    warm = phonon.replicate()
    for point in result.points:
        warm.force_constants = np.array(point.force_constants)
        with replacing(folder / f"phonopy_sscha-{point.temperature:g}K.yaml") as path:
            warm.save(path, settings={"force_sets": False, "displacements": False, "force_constants": True})
