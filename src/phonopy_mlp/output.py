"""Files of a finished run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ase import Atoms
from ase.io import write
from phonopy.file_IO import write_force_constants_to_hdf5

from phonopy_mlp.files import replacing
from phonopy_mlp.force_constants import ForceConstantsResult

PARAMS_FILE = "phonopy_params.yaml"
FORCE_CONSTANTS_FILE = "force_constants.hdf5"
RELAXED_FILE = "relaxed.cif"
STABILISED_FILE = "stabilised.cif"
TRAIL_FILE = "stabilised.yaml"
EOS_FILE = "eos.yaml"
ELASTIC_FILE = "elastic.yaml"
REPORT_FILE = "report.html"


def write_cif(atoms: Atoms, path: Path) -> None:
    """Write a structure."""
    with replacing(path) as temporary:
        write(temporary, atoms, format="cif")


def write_force_constants(result: ForceConstantsResult, folder: Path, *, keep_params: bool = False) -> None:
    """Write ``phonopy_params.yaml`` (cells, displacements, forces) and ``force_constants.hdf5`` (eV/A^2).

    With `keep_params` the first stays as it is, for it is where the forces came from.
    """
    with writing_force_constants(result, folder, keep_params=keep_params):
        pass


@contextmanager
def writing_force_constants(result: ForceConstantsResult, folder: Path, *, keep_params: bool = False) -> Iterator[None]:
    """Write as `write_force_constants`; the files appear when the block ends, all at once, or not at all."""
    phonon = result.phonon
    with ExitStack() as files:
        if not keep_params:
            path = files.enter_context(replacing(folder / PARAMS_FILE))
            phonon.save(path, settings={"force_sets": True, "displacements": True, "force_constants": False})
        path = files.enter_context(replacing(folder / FORCE_CONSTANTS_FILE))
        write_force_constants_to_hdf5(
            result.force_constants, filename=str(path), p2s_map=phonon.primitive.p2s_map, physical_unit="eV/angstrom^2"
        )
        yield
