"""Files of self-consistent phonons."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from phonopy import Phonopy

from phonopy_mlp.anharmonic.result import SschaResult
from phonopy_mlp.files import replacing, write_yaml

SSCHA_FILE = "sscha.yaml"


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
        with replacing(folder / name_file(point.temperature)) as path:
            warm.save(path, settings={"force_sets": False, "displacements": False, "force_constants": True})


def name_file(temperature: float) -> str:
    """Return the name of the file of a temperature, with all digits that tell it from others."""
    return f"phonopy_sscha-{repr(float(temperature)).removesuffix('.0')}K.yaml"
