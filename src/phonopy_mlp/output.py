"""Files of a finished run."""

from __future__ import annotations

from pathlib import Path

from phonopy.file_IO import write_force_constants_to_hdf5

from phonopy_mlp.files import replacing
from phonopy_mlp.force_constants import ForceConstantsResult

PARAMS_FILE = "phonopy_params.yaml"
FORCE_CONSTANTS_FILE = "force_constants.hdf5"
RELAXED_FILE = "relaxed.cif"
STABILISED_FILE = "stabilised.cif"
EOS_FILE = "eos.yaml"
ELASTIC_FILE = "elastic.yaml"
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
