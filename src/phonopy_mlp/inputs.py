"""What a phonon run starts from: a structure file, or a phonopy yaml with its own supercell and displacements."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from phonopy import Phonopy
from phonopy.file_IO import get_io_module_to_decompress, is_file_phonopy_yaml
from phonopy.harmonic.displacement import DisplacementDataset
from phonopy.harmonic.dynamical_matrix import NacParams
from phonopy.interface.phonopy_yaml import PhonopyYaml, load_yaml
from phonopy.structure.atoms import PhonopyAtoms
from phonopy.structure.dataset import forces_in_dataset

from phonopy_mlp.errors import SettingsError, StructureError
from phonopy_mlp.files import check_yaml, file_digest
from phonopy_mlp.structures import bare, check_exists, check_structure, from_phonopy, read_structure

_YAML_SUFFIXES = (".yaml", ".yml")
_COMPRESSED = (".xz", ".gz", ".bz2")

_SAME_SITE = 1e-3
"""Positions closer than this (A) are one site."""


@dataclass(frozen=True, slots=True)
class RunInput:
    """A structure, and what a phonopy yaml adds to it.

    Attributes
    ----------
    path : Path
        Where it came from.
    digest : str
        ``sha256:...`` of the file.
    atoms : Atoms
        Unit cell in A.
    supercell_matrix : ndarray or None
        shape=(3, 3), dtype=int. None for a plain structure.
    primitive_matrix : ndarray or None
        shape=(3, 3). None for a plain structure, or where the file has none.
    supercell : PhonopyAtoms or None
        Supercell that the displacements belong to, where the file has it.
    dataset : dict or None
        phonopy's displacement dataset, with or without forces (A, eV/A).
    tolerance : float or None
        Symmetry tolerance (A) that the displacements were made with.
    nac_params : dict or None
        phonopy's parameters of the non-analytical term.
    force_constants : ndarray or None
        Where the file has them, in eV/A^2. shape=(atoms in primitive cell or supercell, atoms in supercell, 3, 3)

    """

    path: Path
    digest: str
    atoms: Atoms
    supercell_matrix: np.ndarray[Any, Any] | None = None
    primitive_matrix: np.ndarray[Any, Any] | None = None
    supercell: PhonopyAtoms | None = None
    dataset: DisplacementDataset | None = None
    tolerance: float | None = None
    nac_params: NacParams | None = None
    force_constants: np.ndarray[Any, Any] | None = None

    @property
    def has_forces(self) -> bool:
        """Whether every displacement comes with its forces."""
        return forces_in_dataset(self.dataset)


def read_input(path: Path) -> RunInput:
    """Read a structure file or a phonopy yaml.

    Raises
    ------
    StructureError
        The file is missing, may not be read, does not parse, holds no usable structure, or is in units other than A
        and eV/A.

    """
    check_exists(path)
    try:
        digest = file_digest(path)
    except OSError as error:
        raise StructureError(f"'{path}' cannot be read", str(error), "Check whether you may read it") from error
    if not looks_like_yaml(path):
        return RunInput(path, digest, read_structure(path))
    try:
        with get_io_module_to_decompress(path).open(path, "rb") as file:
            check_yaml(file)
        is_phonopy = is_file_phonopy_yaml(path, yaml_dict_keys=("supercell_matrix",))
        content = PhonopyYaml().read(path) if is_phonopy else None
        header = load_yaml(path).get("phonopy", {}) if is_phonopy else {}
    except Exception as error:
        raise StructureError(
            f"'{path}' cannot be read", f"it does not parse ({type(error).__name__}: {error})", "Write it again"
        ) from error
    if content is None or content.unitcell is None:
        raise StructureError(
            f"'{path}' is not a phonopy yaml", "it has no supercell_matrix and unit cell", "Give phonopy_disp.yaml"
        )
    _refuse_other_units(content, path)
    if content.unitcell.magnetic_moments is not None:
        raise StructureError(
            f"'{path}' has magnetic moments",
            "the calculators of phonopy-mlp know no spin",
            "Make the displacements again without them",
        )
    atoms = from_phonopy(content.unitcell)
    check_structure(atoms, name=str(path))
    return RunInput(
        path,
        digest,
        bare(atoms),
        supercell_matrix=content.supercell_matrix,
        primitive_matrix=content.primitive_matrix,
        supercell=content.supercell,
        dataset=content.dataset,
        tolerance=float(header["symmetry_tolerance"]) if "symmetry_tolerance" in header else None,
        nac_params=content.nac_params,
        force_constants=content.force_constants,
    )


def check_order(phonon: Phonopy, given: RunInput) -> None:
    """Refuse displacements and forces that count the supercell's atoms in another order."""
    if given.supercell is None:
        return
    same = np.array_equal(given.supercell.numbers, phonon.supercell.numbers)
    if same:
        away = given.supercell.scaled_positions - phonon.supercell.scaled_positions
        away = (away - np.round(away)) @ phonon.supercell.cell
        same = bool(np.linalg.norm(away, axis=1).max() < _SAME_SITE)
    if not same:
        raise SettingsError(
            f"The supercell of '{given.path}'",
            "its atoms are not in the order in which this version of phonopy makes a supercell",
            "Make the displacements again with the installed phonopy-init",
        )


def looks_like_yaml(path: Path) -> bool:
    """Return whether a file's name is that of a phonopy yaml."""
    return plain_suffix(path) in _YAML_SUFFIXES


def plain_suffix(path: Path) -> str:
    """Return a file's suffix, that of a compression left out."""
    return path.with_suffix("").suffix if path.suffix in _COMPRESSED else path.suffix


def _refuse_other_units(content: PhonopyYaml, path: Path) -> None:
    units = content.physical_units
    length = "angstrom" if units is None or units.length_unit is None else units.length_unit
    force = "eV/angstrom" if units is None or units.force_unit is None else units.force_unit
    if length != "angstrom" or force != "eV/angstrom":
        raise StructureError(
            f"'{path}' is in units of {length} and {force}",
            f"it was made for {content.calculator}, and ASE calculators work in A and eV",
            "Make the displacements again from the structure: phonopy --mlp MODEL STRUCTURE",
        )
