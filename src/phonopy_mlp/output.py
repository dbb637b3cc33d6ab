"""Files that are whole or not there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from phonopy.file_IO import write_force_constants_to_hdf5

from phonopy_mlp.errors import OutputError
from phonopy_mlp.force_constants import ForceConstantsResult

PARAMS_FILE = "phonopy_params.yaml"
FORCE_CONSTANTS_FILE = "force_constants.hdf5"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it takes the place of `path`, on failure it is removed.

    Raises
    ------
    OutputError
        The folder cannot be written, or is full.

    """
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise OutputError(
            f"'{path}' cannot be written", str(error), "Choose a folder that exists, is yours and has room"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def check_folder(folder: Path) -> None:
    """Make an output folder where there is none, and raise `OutputError` if nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"Output folder '{folder}' cannot be made", str(error), "Choose a folder that you may write to"
        ) from error
    probe = folder / ".phonopy_mlp-probe"
    with replacing(probe):
        pass
    probe.unlink()


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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
