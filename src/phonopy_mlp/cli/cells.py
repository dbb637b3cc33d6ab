"""Supercell, primitive cell and displacements as the command line and the input ask for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from phonopy import Phonopy

from phonopy_mlp.cli.options import Options
from phonopy_mlp.errors import SettingsError
from phonopy_mlp.force_constants import default_distance, displace, make_phonopy
from phonopy_mlp.imaginary import check_size
from phonopy_mlp.inputs import RunInput, check_order
from phonopy_mlp.symmetry import TIGHT

Array = np.ndarray[Any, Any]


def choose_cells(atoms: Atoms, supercell_matrix: Array, options: Options, given: RunInput) -> Phonopy:
    """Return phonopy's object for a unit cell and a supercell, with the primitive cell that was asked for."""
    settings = options.settings
    # As phonopy does: the automatic band path needs the automatic primitive cell.
    if isinstance(settings.band_paths, str) and settings.band_paths == "auto":
        primitive: Any = "auto"
    else:
        primitive = settings.primitive_matrix if settings.primitive_matrix is not None else given.primitive_matrix
    phonon = make_phonopy(
        atoms,
        supercell_matrix,
        primitive_matrix="auto" if primitive is None else primitive,
        symprec=choose_tolerance(options, given),
        is_symmetry=settings.is_symmetry,
    )
    check_order(phonon, given)
    check_size(len(phonon.supercell))
    phonon.nac_params = given.nac_params
    if settings.masses is not None:
        if len(settings.masses) != len(phonon.primitive):
            raise SettingsError(
                f"{len(settings.masses)} masses were given",
                f"the primitive cell has {len(phonon.primitive)} atoms",
                "Give one for each atom of the primitive cell",
            )
        phonon.masses = settings.masses
    return phonon


def choose_tolerance(options: Options, given: RunInput) -> float:
    """Return the symmetry tolerance in A: the one asked for, that of the input file, or phonopy's own."""
    return options.settings.symmetry_tolerance or given.tolerance or TIGHT


def choose_displacements(
    phonon: Phonopy, options: Options, given: RunInput, calculator: BaseCalculator, *, linear: bool
) -> None:
    """Give a phonopy object the displacements of the input file, or those that were asked for.

    To first order (`linear`) the two signs of a displacement say the same.
    """
    if given.dataset is not None:
        phonon.dataset = given.dataset
        return
    settings = options.settings
    at_finite_temperature = settings.random_displacement_temperature is not None
    displace(
        phonon,
        default_distance(calculator) if settings.displacement_distance is None else settings.displacement_distance,
        is_plusminus=False if linear else settings.is_plusminus_displacement,
        is_diagonal=options.diagonal,
        is_trigonal=options.trigonal,
        number_of_snapshots=None if at_finite_temperature else settings.random_displacements,
        random_seed=settings.random_seed,
        max_distance=settings.displacement_distance_max,
        distance_sampling=settings.displacement_distance_sampling,
        number_estimation_factor=settings.rd_number_estimation_factor,
    )


def choose_supercell(atoms: Atoms, options: Options, given: RunInput, say: Callable[[str], None]) -> Array:
    """Return the supercell matrix that was asked for, that of the input, or the default one. shape=(3, 3)."""
    if given.dataset is not None and options.supercell.words is not None:
        raise SettingsError(f"'{given.path}' brings its own supercell", "--dim would contradict it", "Leave --dim out")
    return options.supercell.choose(atoms, say, given.supercell_matrix, options.settings.supercell_matrix)
