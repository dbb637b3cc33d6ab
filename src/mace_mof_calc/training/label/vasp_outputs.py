"""Labels from vasprun.xml, refused where it is not the calculation that was asked for.

pymatgen reads it: unlike ASE's reader it says whether the electrons converged, and a file that breaks off is an error.
"""

from __future__ import annotations

import bz2
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import numpy as np
from ase import Atoms
from ase.stress import full_3x3_to_voigt_6_stress
from ase.units import GPa

from ...frames import Labels
from ..defaults import DENSITY
from ..job import Part
from ..manifest import Dropped
from ..progress import Track, silently
from .compute import label_frame
from .vasp_inputs import Inputs, import_vasp, name_folders, plan_inputs

Array = np.ndarray[Any, Any]

#: Of VASP's stress, which is positive under compression, into ASE's sign and eV/Angstrom^3.
KILOBAR = -0.1 * GPa

#: Largest distance of an atom or a cell vector from where the frame has it, Angstrom; vasprun.xml has eight decimals.
TOLERANCE = 1e-5

#: Tags that decide how a calculation gets to its result and what it writes, but not what the result is.
FREE = frozenset(
    (
        "ALGO", "AMIN", "AMIX", "AMIX_MAG", "BMIX", "BMIX_MAG", "IALGO", "ICHARG", "INIMIX", "ISTART", "KPAR", "LAECHG",
        "LCHARG", "LDIAG", "LELF", "LORBIT", "LPLANE", "LSCALAPACK", "LSCALU", "LVHAR", "LVTOT", "LWAVE", "MAXMIX",
        "MIXPRE", "NBANDS", "NCORE", "NELM", "NELMDL", "NELMIN", "NPAR", "NSIM", "NWRITE", "SYSTEM", "WC",
    )
)  # fmt: skip

#: What ALGO and IALGO may be: that which minimises the energy to self-consistency.
ALGORITHMS = frozenset(("normal", "n", "veryfast", "v", "fast", "f", "conjugate", "c", "all", "a", "damped", "d"))
ALGORITHM_NUMBERS = frozenset((38, 48, 53, 58, 68))

#: From this ICHARG on the density stays what it was.
FIXED_DENSITY = 10


@dataclass(frozen=True, slots=True, eq=False)
class Calculation:
    """What a vasprun.xml says.

    Attributes
    ----------
    version : str
        Of VASP.
    tags : mapping
        Tags of INCAR, upper case.
    parameters : mapping
        All that VASP used, its defaults too.
    mesh : tuple of int
        K-points along the three reciprocal vectors.
    style : str
        Kind of mesh, such as ``Gamma``.
    shift : tuple of float
        Of the mesh from where its kind has it, in units of its spacings.
    potentials : tuple of str
        Titles of the PAW data sets, such as ``PAW_PBE Zn 06Sep2000``.
    symbols : tuple of str
        Elements of the atoms.
    cell : ndarray, shape=(3, 3)
        Angstrom.
    scaled_positions : ndarray, shape=(natoms, 3)
        In units of the cell vectors.
    steps : int
        Number of ionic steps.
    converged : bool
        Whether the electrons of the last step converged.
    labels : Labels or None
        Of the last step, in the order of VASP's atoms: eV, eV/Angstrom, eV/Angstrom^3 with ASE's sign and Voigt order.
        The energy is the free energy (``e_fr_energy``, TOTEN), dispersion included.
    """

    version: str
    tags: Mapping[str, Any]
    parameters: Mapping[str, Any]
    mesh: tuple[int, ...]
    style: str
    shift: tuple[float, ...]
    potentials: tuple[str, ...]
    symbols: tuple[str, ...]
    cell: Array
    scaled_positions: Array
    steps: int
    converged: bool
    labels: Labels | None


def read_calculation(path: Path) -> Calculation:
    """Read a vasprun.xml.

    Of VASP's three energies the free energy is taken, not that of sigma -> 0: forces and stress are its derivatives,
    and only with it do energies and forces of a training set fit together. Where a gap is wide against SIGMA all three
    are the same. It is the one of the ionic step; those of the electronic steps lack the dispersion.

    Raises
    ------
    ValueError
        It breaks off, or is no vasprun.xml.
    OSError
        It is not there.
    """
    _, outputs = import_vasp()
    options = {"parse_dos": False, "parse_eigen": False, "parse_potcar_file": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is not converged is an answer of this function
            run = outputs.Vasprun(path, **options)
            step = run.ionic_steps[-1]
            labels = _get_labels(step)
            structure = run.initial_structure
            return Calculation(
                version=run.vasp_version.strip(),
                tags={key.upper(): value for key, value in run.incar.items()},
                parameters=run.parameters,
                mesh=tuple(run.kpoints.kpts[0]),
                style=run.kpoints.style.name,
                shift=tuple(run.kpoints.kpts_shift),
                potentials=tuple(run.potcar_symbols),
                symbols=tuple(run.atomic_symbols),
                cell=np.array(structure.lattice.matrix),
                scaled_positions=np.array(structure.frac_coords),
                steps=len(run.ionic_steps),
                converged=bool(run.converged_electronic),
                labels=labels,
            )
    except (ParseError, SyntaxError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise ValueError(f"vasprun.xml breaks off or is damaged: {type(error).__name__}: {error}") from error


def find_differences(calculation: Calculation, atoms: Atoms, planned: Inputs) -> list[str]:
    """Say in what a calculation is not the one that was asked for; nothing where it is."""
    found = [_compare_tags(calculation, planned.incar), *_find_fixed(calculation)]
    if calculation.style != "Gamma" or calculation.mesh != planned.mesh:
        ours = "x".join(map(str, planned.mesh))
        theirs = "x".join(map(str, calculation.mesh))
        found.append(f"k-points are {calculation.style} {theirs}, not Gamma {ours}")
    if any(calculation.shift):
        found.append(f"k-points are shifted by {' '.join(f'{part:g}' for part in calculation.shift)}")
    wanted = [f"PAW_PBE {name}" for name in planned.potentials]
    if [" ".join(title.split()[:2]) for title in calculation.potentials] != wanted:
        found.append(f"potentials are {', '.join(calculation.potentials)}, not {', '.join(wanted)}")
    else:
        strange = [title for title in calculation.potentials if "".join(title.split()) not in _list_potentials()]
        found += [f"potential {title} is not of release 54" for title in strange]
    found.append(_compare_structures(calculation, atoms[list(planned.order)]))
    if calculation.steps != 1:
        found.append(f"it has {calculation.steps} ionic steps, not 1")
    return [each for each in found if each]


def read_labels(
    frames: Sequence[Atoms], folder: Path, density: float = DENSITY, *, track: Track = silently
) -> Iterator[tuple[int, Part]]:
    """Read the labels of frames whose inputs `vasp_inputs.write_inputs` wrote.

    Parameters
    ----------
    frames : sequence of Atoms
        The same, in the same order.
    folder : Path
        That of the folders.
    density : float, optional
        The same.
    track : Track, optional
        Shows progress.

    Yields
    ------
    int, Part
        Index of a frame, and the frame with labels in its own order of atoms, or why there are none: vasprun.xml is not
        there or breaks off, the electrons did not converge, or settings, k-points, potentials or structure are others.

    Raises
    ------
    TrainingError, MissingExtraError
        As `vasp_inputs.plan_inputs`.
    """
    pairs = list(zip(frames, plan_inputs(frames, density), strict=True))
    for k, (atoms, planned) in enumerate(track(pairs, "read")):
        try:
            yield k, Part([_label(atoms, planned, folder / planned.folder / "vasprun.xml")])
        except ValueError as error:
            yield k, Part([], [Dropped(atoms.info["name"], str(error))])


def find_outputs(frames: Sequence[Atoms], folder: Path) -> list[Path]:
    """Return the files that `read_labels` reads, of those that are there."""
    paths = [folder / name / "vasprun.xml" for name in name_folders(frames)]
    return [path for path in paths if path.is_file()]


def _label(atoms: Atoms, planned: Inputs, path: Path) -> Atoms:
    """Return a frame with labels, or raise a ValueError that says why not."""
    if not path.is_file():
        raise ValueError("no vasprun.xml")
    calculation = read_calculation(path)
    problems = find_differences(calculation, atoms, planned)
    if calculation.labels is None:
        problems.insert(0, "energy, forces or stress are missing or not finite")
    if not calculation.converged:
        problems.insert(0, "the electrons did not converge")
    if problems or calculation.labels is None:
        raise ValueError("; ".join(problems))
    labels = calculation.labels
    forces = np.empty_like(labels.forces)
    forces[list(planned.order)] = labels.forces
    restored = Labels(labels.energy, forces, labels.stress if atoms.pbc.all() else None)
    level = f"PBE-D3(BJ), PAW (PBE.54), {planned.incar['ENCUT']:g} eV, VASP {calculation.version}"
    return label_frame(atoms, restored, level)


def _get_labels(step: Mapping[str, Any]) -> Labels | None:
    if not {"e_fr_energy", "forces", "stress"} <= step.keys():
        return None
    energy, forces = float(step["e_fr_energy"]), np.array(step["forces"], dtype=float)
    stress = full_3x3_to_voigt_6_stress(np.array(step["stress"], dtype=float)) * KILOBAR
    finite = np.isfinite(energy) and np.isfinite(forces).all() and np.isfinite(stress).all()
    return Labels(energy, forces, stress) if finite else None


def _compare_tags(calculation: Calculation, wanted: Mapping[str, Any]) -> str:
    actual = {**calculation.parameters, **calculation.tags}
    different = [
        f"{name} is {actual.get(name, 'not set')}, not {value}"
        for name, value in wanted.items()
        if name not in FREE and not _is_same(actual.get(name), value)
    ]
    extra = sorted(set(calculation.tags) - set(wanted) - FREE)
    return "; ".join([*different, *(f"{name} is {calculation.tags[name]}, and was not asked for" for name in extra)])


def _find_fixed(calculation: Calculation) -> Iterator[str]:
    """Say what kept the electrons from becoming self-consistent: it would count as converged."""
    actual = {**calculation.parameters, **calculation.tags}
    if int(actual.get("ICHARG", 0)) >= FIXED_DENSITY:
        yield f"ICHARG is {actual['ICHARG']}, so the density was fixed"
    for name, known in (("ALGO", ALGORITHMS), ("IALGO", ALGORITHM_NUMBERS)):
        value = actual.get(name)
        if value is not None and (value if isinstance(value, int) else value.lower().replace("_", "")) not in known:
            yield f"{name} is {value}, which does not minimise the energy"


@cache
def _list_potentials() -> frozenset[str]:
    """Return the titles of the PAW data sets of release 54, without spaces, as pymatgen lists them."""
    inputs, _ = import_vasp()
    return frozenset(json.loads(bz2.decompress(Path(inputs.POTCAR_STATS_PATH).read_bytes()))["PBE_54"])


def _is_same(theirs: Any, ours: Any) -> bool:
    if isinstance(ours, str):
        return str(theirs).lower() == ours.lower()
    return isinstance(theirs, int | float) and bool(np.isclose(theirs, ours, rtol=1e-6, atol=0.0))


def _compare_structures(calculation: Calculation, atoms: Atoms) -> str:
    if list(calculation.symbols) != atoms.get_chemical_symbols():
        if sorted(calculation.symbols) == sorted(atoms.get_chemical_symbols()):
            return "atoms are in another order"
        return f"atoms are {Atoms(calculation.symbols).symbols}, not {atoms.symbols}"
    if not np.allclose(calculation.cell, atoms.cell.array, rtol=0.0, atol=TOLERANCE):
        return f"the cell is another, by up to {np.abs(calculation.cell - atoms.cell.array).max():.2g} Angstrom"
    shifts = calculation.scaled_positions - atoms.cell.scaled_positions(atoms.positions)
    distances = np.linalg.norm((shifts - np.rint(shifts)) @ atoms.cell.array, axis=1)
    if distances.max() > TOLERANCE:
        return f"atoms are elsewhere, or in another order, by up to {distances.max():.2g} Angstrom"
    return ""
