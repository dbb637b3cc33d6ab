"""Force constants from the files of a run, or from any phonopy yaml."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from phonopy import Phonopy
from phonopy.file_IO import read_force_constants_hdf5

from phonopy_mlp.arrays import Array
from phonopy_mlp.errors import StructureError
from phonopy_mlp.force_constants import force_constants_from_dataset, make_phonopy
from phonopy_mlp.inputs import check_order, read_input
from phonopy_mlp.output import FORCE_CONSTANTS_FILE, PARAMS_FILE
from phonopy_mlp.symmetry import TIGHT


def read_phonons(path: Path) -> Phonopy:
    """Read cells and force constants.

    A run's folder, or its ``phonopy_params.yaml``: with the ``force_constants.hdf5`` beside it, where there is one. Any
    other phonopy yaml: its own force constants, or those of its forces, with sum rules imposed. The non-analytical term
    is left out.

    Raises
    ------
    StructureError
        A file is missing or does not parse, has no force constants, or those of another crystal.
    SettingsError
        The file's primitive cell or order of atoms is not phonopy's.

    """
    path = path / PARAMS_FILE if path.is_dir() else path
    given = read_input(path)
    if given.supercell_matrix is None:
        raise StructureError(f"'{path}' has no force constants", "it is a structure", "Give a phonopy yaml")
    phonon = make_phonopy(
        given.atoms,
        given.supercell_matrix,
        primitive_matrix="auto" if given.primitive_matrix is None else given.primitive_matrix,
        symprec=given.tolerance or TIGHT,
    )
    check_order(phonon, given)
    beside = path.parent / FORCE_CONSTANTS_FILE
    if given.force_constants is not None:
        phonon.force_constants = given.force_constants
    elif path.name == PARAMS_FILE and beside.is_file():
        phonon.force_constants = _read_hdf5(beside, phonon)
    elif given.has_forces:
        phonon.dataset = given.dataset
        force_constants_from_dataset(phonon)
    else:
        raise StructureError(
            f"'{path}' has no force constants", "it has no forces either", "Compute them: phonopy --mlp MODEL FILE"
        )
    if not np.isfinite(np.asarray(phonon.force_constants, dtype=float)).all():
        raise StructureError(
            f"The force constants of '{path}' are not finite", "a file is damaged", "Compute them again"
        )
    return phonon


def _read_hdf5(path: Path, phonon: Phonopy) -> Array:
    try:
        found = np.asarray(read_force_constants_hdf5(path, p2s_map=phonon.primitive.p2s_map))
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        raise StructureError(f"'{path}' cannot be read", str(error), "Compute the force constants again") from error
    if found.dtype.kind != "f" or found.ndim != 4 or found.shape[2:] != (3, 3):
        raise StructureError(
            f"'{path}' holds no force constants",
            f"it has numbers of shape {found.shape} and type {found.dtype}",
            "Compute the force constants again",
        )
    if found.shape[1] != len(phonon.supercell):
        raise StructureError(
            f"'{path}' does not belong to '{PARAMS_FILE}' beside it",
            f"it is of a supercell of {found.shape[1]} atoms, which has {len(phonon.supercell)}",
            "Compute the force constants again",
        )
    return found
