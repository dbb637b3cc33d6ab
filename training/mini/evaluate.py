"""Acceptance of a finished model: every number, misses included, as JSON.

Each method is judged at its own minimum: cells, Gamma frequencies matched by eigenvector, stability at the
commensurate q-points of the 2x2x2 supercell of MOF-5, and errors on configurations that training never saw.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.io import read
from crystals import FRAMEWORKS
from hessian import Modes, diagonalise, full_hessian, reference_modes, setup
from labels import atomic_write
from minima import space_group
from numpy.typing import NDArray
from pack import pack
from phonopy import Phonopy
from sample import load as load_frames
from scipy.optimize import linear_sum_assignment

from mace_mof_calc import MaceMOF
from phonopy_mlp.imaginary import compute_commensurate_modes
from phonopy_mlp.relax import relax
from phonopy_mlp.structures import from_phonopy

FMAX = 1e-5  # eV/A
DISPLACEMENT = 0.005  # A, for the model's own Hessians in double precision
DEGENERATE = 1e-3  # THz


@dataclass(frozen=True)
class Row:
    """One line of the acceptance table; `limit` is None where nothing is required."""

    quantity: str
    value: float
    unit: str
    limit: float | None = None
    at_least: bool = False

    @property
    def passed(self) -> bool | None:
        """Whether the limit is kept."""
        if self.limit is None:
            return None
        return bool(self.value >= self.limit) if self.at_least else bool(self.value <= self.limit)


def forces_of(phonon: Phonopy, calc: Calculator) -> list[NDArray[np.float64]]:
    """Return the forces (eV/A) of phonopy's displaced cells."""
    out = []
    for cell in phonon.supercells_with_displacements:
        atoms = from_phonopy(cell)
        atoms.calc = calc
        out.append(atoms.get_forces())
    return out


def _groups(frequencies: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the number of the degenerate set that each mode belongs to."""
    return np.concatenate([[0], np.cumsum(np.diff(frequencies) > DEGENERATE)])


def matched_differences(mine: Modes, reference: Modes) -> NDArray[np.float64]:
    """Frequency differences (THz) of modes matched by eigenvector, in the order of the reference.

    Overlaps are squared and averaged over degenerate sets, within which eigenvectors are arbitrary.
    """
    overlap = (reference.vectors.T @ mine.vectors) ** 2
    for axis, frequencies in ((0, reference.frequencies), (1, mine.frequencies)):
        group = _groups(frequencies)
        member = np.equal.outer(group, np.arange(group[-1] + 1)).astype(float)
        average = (member / member.sum(0)) @ member.T
        overlap = average @ overlap if axis == 0 else overlap @ average
    rows, columns = linear_sum_assignment(-overlap)
    differences = np.empty(len(rows))
    differences[rows] = mine.frequencies[columns] - reference.frequencies[rows]
    return differences


def commensurate_lowest(atoms: Atoms, calc: Calculator) -> list[tuple[list[float], float]]:
    """Lowest frequency (THz) at each commensurate q-point of 2x2x2, translations projected out at Gamma."""
    phonon = setup(atoms, (2, 2, 2), DISPLACEMENT)
    phonon.forces = np.array(forces_of(phonon, calc))
    phonon.produce_force_constants(calculate_full_force_constants=False)
    phonon.symmetrize_force_constants()
    modes = compute_commensurate_modes(phonon)
    return [(q.tolist(), float(row[0])) for q, row in zip(modes.qpoints, modes.frequencies, strict=True)]


def test_errors(name: str, calc: Calculator, work: Path) -> list[Row]:
    """Errors on the test configurations of one framework, per kind."""
    rows = []
    frames = load_frames(work, "test", [name])
    for kind in sorted({a.info["kind"] for a in frames}):
        force, size, energy, stress = [], [], [], []
        for frame in (a for a in frames if a.info["kind"] == kind):
            atoms = frame.copy()
            atoms.calc = calc
            force.append(np.mean((atoms.get_forces() - frame.get_forces()) ** 2))
            size.append(np.mean(frame.get_forces() ** 2))
            energy.append((atoms.get_potential_energy() - frame.get_potential_energy()) / len(atoms))
            stress.append(np.mean((atoms.get_stress(voigt=False) - frame.get_stress(voigt=False)) ** 2))
        rms = float(np.sqrt(np.mean(size)))
        percent = 100 * float(np.sqrt(np.mean(force))) / rms
        required = 4.0 if (name, kind) == ("MOF-5", "thermal") else None
        rows += [
            Row(f"{name} {kind}: forces RMSE over forces rms", percent, "%", required),
            Row(f"{name} {kind}: forces rms", rms, "eV/A"),
            Row(f"{name} {kind}: energy RMSE", 1e3 * float(np.sqrt(np.mean(np.square(energy)))), "meV/atom"),
            Row(f"{name} {kind}: stress RMSE", 1e3 * float(np.sqrt(np.mean(stress))), "meV/A^3"),
        ]
    return rows


def evaluate(model_path: Path, work: Path, out: Path) -> list[Row]:
    """Fill the acceptance table of a finished model.

    Parameters
    ----------
    model_path : Path
        Finished model (``config``, ``state_dict``).
    work : Path
        Work folder with minima, Hessians and labels.
    out : Path
        Folder that ``acceptance.json``, the relaxed structures and the packed ``model`` are written to.
    """
    out.mkdir(parents=True, exist_ok=True)
    calc = MaceMOF(pack(model_path, [], [], out / "model"))
    rows: list[Row] = []
    details: dict[str, Any] = {}
    for name, framework in FRAMEWORKS.items():
        if not (work / "minima" / f"{name}.extxyz").exists():
            continue
        reference_atoms = read(work / "minima" / f"{name}.extxyz")
        reference = reference_modes(framework, work)
        atoms = relax(reference_atoms, calc, fmax=FMAX).atoms
        atoms.calc = calc
        atomic_write(out / f"{name}.extxyz", atoms.copy())
        rows.append(
            Row(f"{name}: largest force at the model's minimum", float(np.abs(atoms.get_forces()).max()), "eV/A", FMAX)
        )
        change = 100 * (atoms.cell.cellpar() / reference_atoms.cell.cellpar() - 1)
        rows.append(
            Row(
                f"{name}: largest deviation of a cell length",
                float(np.abs(change[:3]).max()),
                "%",
                0.5 if name in ("MOF-5", "UiO-66") else None,
            )
        )
        phonon = setup(atoms, framework.repeat, DISPLACEMENT)
        mine = diagonalise(from_phonopy(phonon.supercell), full_hessian(phonon, forces_of(phonon, calc)))
        d = matched_differences(mine, reference)
        low = reference.frequencies < 20
        required = name == "MOF-5"
        rows += [
            Row(f"{name}: Gamma frequencies, RMSD", float(np.sqrt(np.mean(d**2))), "THz", 0.5 if required else None),
            Row(
                f"{name}: Gamma, RMSD below 20 THz",
                float(np.sqrt(np.mean(d[low] ** 2))),
                "THz",
                0.25 if required else None,
            ),
            Row(f"{name}: Gamma, largest difference", float(np.abs(d).max()), "THz"),
            Row(f"{name}: Gamma, lowest mode of the model", float(mine.frequencies[0]), "THz"),
            Row(f"{name}: Gamma, lowest mode of GFN1-xTB", float(reference.frequencies[0]), "THz"),
        ]
        if required:
            points = commensurate_lowest(atoms, calc)
            details["commensurate"] = points
            rows.append(
                Row(
                    f"{name}: lowest mode at the 8 commensurate q-points of 2x2x2",
                    min(f for _, f in points),
                    "THz",
                    0.0,
                    True,
                )
            )
        details[name] = {
            "cell": atoms.cell.cellpar().tolist(),
            "cell_reference": reference_atoms.cell.cellpar().tolist(),
            "space_group": space_group(atoms),
            "space_group_reference": space_group(reference_atoms),
            "frequencies": mine.frequencies.tolist(),
            "frequencies_reference": reference.frequencies.tolist(),
            "matched_difference": d.tolist(),
        }
        rows += test_errors(name, calc, work)
    table = {"rows": [{**asdict(r), "passed": r.passed} for r in rows], "details": details}
    temporary = out / "acceptance.json.part"
    temporary.write_text(json.dumps(table, indent=1), encoding="utf-8")
    temporary.replace(out / "acceptance.json")
    return rows


def format_rows(rows: list[Row]) -> str:
    """Format the table as text."""
    lines = []
    for r in rows:
        verdict = "" if r.passed is None else ("ok" if r.passed else "MISSED")
        limit = "" if r.limit is None else f"{'>=' if r.at_least else '<='} {r.limit:g}"
        lines.append(f"{r.quantity:70s} {r.value:12.5g} {r.unit:9s} {limit:10s} {verdict}")
    return "\n".join(lines)


def read_rows(path: Path) -> list[Row]:
    """Rows of an ``acceptance.json``."""
    keys = ("quantity", "value", "unit", "limit", "at_least")
    return [Row(*(row[k] for k in keys)) for row in json.loads(path.read_text(encoding="utf-8"))["rows"]]
