"""Inputs of VASP for single points, at the level of theory of MACE-MP-MOF0's training data.

From Elena, Kamath, Jaffrelot Inizan et al., npj Comput. Mater. 11, 125 (2025): PBE-D3(BJ), the PAW data sets of release
54, a cutoff of 520 eV, EDIFF 1e-5, EDIFFG -0.02. The other settings are chosen here.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import kptdensity2monkhorstpack
from ase.calculators.vasp.setups import get_default_setups
from ase.io.vasp_parsers.incar_writer import generate_incar_lines

from ...errors import TrainingError
from ...files import make_folder, write_file
from ...lock import holding
from ..defaults import DENSITY
from ..extras import require
from ..progress import Track, silently
from .isolated import is_isolated
from .naming import get_source

#: Tags of a single point. The first seven are the paper's.
INCAR: Mapping[str, Any] = {
    "GGA": "PE",
    "IVDW": 12,  # D3(BJ)
    "ENCUT": 520.0,
    "EDIFF": 1e-5,
    "EDIFFG": -0.02,  # of its relaxations; without effect on a single point
    "NSW": 0,
    "ISIF": 2,  # with stress
    "IBRION": -1,
    "PREC": "Accurate",
    "LREAL": False,
    "ISPIN": 1,
    "ISMEAR": 0,
    "SIGMA": 0.05,
    "NELM": 200,
    "LWAVE": False,
    "LCHARG": False,
}

#: Tags of an isolated atom that differ.
ISOLATED: Mapping[str, Any] = {"ISPIN": 2, "ISYM": 0}

_DENSEST = 100.0
_POTENTIALS = "potpaw_PBE.54"
_SUFFIXES: Mapping[str, str] = get_default_setups()["materialsproject"]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What VASP is to be given for a frame.

    Attributes
    ----------
    folder : str
        Name of its folder.
    order : tuple of int
        Atoms of the frame in the order of POSCAR: by element, as they are within each.
    incar : mapping
        Tags.
    mesh : tuple of int
        K-points along the three reciprocal vectors, centred at Gamma.
    potentials : tuple of str
        PAW data sets, in the order of the elements.
    """

    folder: str
    order: tuple[int, ...]
    incar: Mapping[str, Any]
    mesh: tuple[int, ...]
    potentials: tuple[str, ...]


def import_vasp() -> tuple[ModuleType, ModuleType]:
    """Import what pymatgen has for inputs and outputs of VASP.

    Raises
    ------
    MissingExtraError
        It is not installed.
    """
    require("pymatgen")
    from pymatgen.io.vasp import inputs, outputs

    return inputs, outputs


def plan_inputs(frames: Sequence[Atoms], density: float = DENSITY) -> list[Inputs]:
    """Decide on the inputs of each frame.

    All frames of a crystal have one mesh, the densest that any of them asks for, so that their energies compare.

    Parameters
    ----------
    frames : sequence of Atoms
        Each with an ``info["name"]`` of its own.
    density : float, optional
        K-points per 1/Angstrom.

    Raises
    ------
    TrainingError
        The density is out of range, a frame is not periodic, or the names of two give one folder.
    """
    if not 0 < density <= _DENSEST:
        raise TrainingError(
            f"A k-point density of {density:g} was asked for", "", f"Give one above 0 and up to {_DENSEST:g}"
        )
    _check_periodic(frames)
    folders = name_folders(frames)
    meshes: dict[str, Any] = {}
    for atoms in frames:
        mesh = (1, 1, 1) if is_isolated(atoms) else kptdensity2monkhorstpack(atoms, density, even=False)
        meshes[get_source(atoms)] = np.maximum(mesh, meshes.get(get_source(atoms), (1, 1, 1)))
    planned = []
    for atoms, folder in zip(frames, folders, strict=True):
        symbols = np.array(atoms.get_chemical_symbols())
        planned.append(
            Inputs(
                folder=folder,
                order=tuple(int(k) for k in np.argsort(symbols, kind="stable")),
                incar={**INCAR, **(ISOLATED if is_isolated(atoms) else {})},
                mesh=tuple(int(n) for n in meshes[get_source(atoms)]),
                potentials=tuple(str(symbol) + _SUFFIXES.get(symbol, "") for symbol in np.unique(symbols)),
            )
        )
    return planned


def name_folders(frames: Sequence[Atoms]) -> list[str]:
    """Return the name of each frame's folder, its own with all but letters, digits and ``.+-`` replaced.

    Raises
    ------
    TrainingError
        Two frames would have one folder.
    """
    folders = [re.sub(r"[^A-Za-z0-9.+-]+", "_", atoms.info["name"]) for atoms in frames]
    for folder, count in Counter(folders).most_common(1):
        if count > 1 or {".", ".."} & set(folders):
            raise TrainingError(
                f"{count} frames would have the folder {folder!r}",
                "",
                "Give them names that differ in letters or digits",
            )
    return folders


def write_inputs(
    frames: Sequence[Atoms], folder: Path, density: float = DENSITY, *, track: Track = silently
) -> tuple[list[Path], bool]:
    """Write INCAR, KPOINTS, POSCAR and POTCAR of each frame into a folder of its own.

    The potentials are licensed: they are taken from ``$VASP_PP_PATH/potpaw_PBE.54/NAME/POTCAR``, as ASE has it. Where
    that variable is not set, POTCAR.spec lists their names instead.

    Parameters
    ----------
    frames : sequence of Atoms
        Each with an ``info["name"]`` of its own.
    folder : Path
        That of the folders.
    density : float, optional
        K-points per 1/Angstrom.
    track : Track, optional
        Shows progress.

    Returns
    -------
    list of Path
        The folders, in the order of the frames. Files that are there and the same are left alone.
    bool
        Whether they have potentials.

    Raises
    ------
    TrainingError
        A file is there and another, a potential is not, or another process is at work in the folder: nothing was
        written. Or as of `plan_inputs`.
    MissingExtraError
        pymatgen is not installed.
    """
    planned = plan_inputs(frames, density)
    library = os.environ.get("VASP_PP_PATH")
    potentials = {name: _read_potential(library, name) for each in planned for name in each.potentials}
    pairs = list(zip(frames, planned, strict=True))
    with holding(folder / "inputs.lock"):
        for atoms, each in pairs:
            for name, content in _encode(atoms, each, potentials).items():
                path = folder / each.folder / name
                if path.exists() and path.read_bytes() != content:
                    raise TrainingError(
                        f"{path} is there already", "It is another", "Name another folder, or remove it"
                    )
        for atoms, each in track(pairs, "write"):
            make_folder(folder / each.folder)
            for name, content in _encode(atoms, each, potentials).items():
                if not (folder / each.folder / name).exists():
                    write_file(folder / each.folder / name, content)
    return [folder / each.folder for each in planned], library is not None


def make_structure(atoms: Atoms, order: Sequence[int]) -> Any:
    """Return a frame as pymatgen's structure, its atoms in the order of POSCAR."""
    from pymatgen.core.structure import Structure

    sorted_atoms = atoms[list(order)]
    return Structure(
        sorted_atoms.cell.array,
        sorted_atoms.get_chemical_symbols(),
        sorted_atoms.positions,
        coords_are_cartesian=True,
    )


def _check_periodic(frames: Sequence[Atoms]) -> None:
    for atoms in frames:
        if not (atoms.pbc.all() or is_isolated(atoms)):
            raise TrainingError(
                f"Frame {atoms.info['name']} is not periodic along all axes",
                "VASP repeats its cell",
                "Put it into a cell, and set pbc",
            )


def _encode(atoms: Atoms, planned: Inputs, potentials: Mapping[str, bytes | None]) -> dict[str, bytes]:
    """Return the files of a frame by name."""
    inputs, _ = import_vasp()
    poscar = inputs.Poscar(make_structure(atoms, planned.order), comment=planned.folder)
    files = {
        "INCAR": generate_incar_lines(planned.incar),
        "KPOINTS": str(inputs.Kpoints(planned.folder, style="Gamma", kpts=(planned.mesh,))),
        "POSCAR": poscar.get_str(significant_figures=16),
    }
    found = [potentials[name] for name in planned.potentials]
    data = [content for content in found if content is not None]
    last = {"POTCAR": b"".join(data)} if data else {"POTCAR.spec": ("\n".join(planned.potentials) + "\n").encode()}
    return {name: text.encode() for name, text in files.items()} | last


def _read_potential(library: str | None, name: str) -> bytes | None:
    if library is None:
        return None
    path = Path(library) / _POTENTIALS / name / "POTCAR"
    try:
        return path.read_bytes()
    except OSError as error:
        raise TrainingError(
            f"The potential {name} cannot be read",
            f"{path}: {error.strerror}",
            "Set VASP_PP_PATH to where potpaw_PBE.54 lies, or unset it to have a list of their names",
        ) from error
