"""Acceptance of a finished model: every number, misses included, as JSON.

Each method is judged at its own minimum: cells, Gamma frequencies matched by eigenvector, stability at the
commensurate q-points of the 2x2x2 supercell of MOF-5, and errors on configurations that training never saw.
``python training/mini/evaluate.py MODEL.json FOLDER``.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import archive
import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from cells import space_group
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from mace_mof_calc import MaceMOF
from mace_mof_calc.frames import get_labels, write_frames
from mace_mof_calc.training.hessians import compute_rows, get_hessian
from mace_mof_calc.training.modes import Modes, make_modes
from phonopy_mlp.force_constants import compute_force_constants, make_phonopy
from phonopy_mlp.imaginary import compute_commensurate_modes
from phonopy_mlp.relax import relax

FMAX = 1e-5  # eV/A
DEGENERATE = 1e-3  # THz
TITLES = {"phonons": "thermal", "equal": "equal-force"}
"""What kinds of frames are called in the table."""


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


def modes_of(atoms: Atoms, calc: Calculator) -> Modes:
    """Compute the vibrations of a cell at Gamma."""
    rows = [compute_rows(atoms, index, calc) for index in range(len(atoms))]
    return make_modes(np.reshape(rows, (3 * len(atoms), 3 * len(atoms))), atoms.get_masses())


def repeat_as(cell: Atoms, before: Atoms, after: Atoms) -> Atoms:
    """Return a cell that repeats a primitive one, with that changed: each atom goes with its primitive one."""
    inverse = np.linalg.inv(before.cell.array)
    apart = (cell.positions[:, None] - before.positions) @ inverse
    off = np.linalg.norm((apart - np.round(apart)) @ before.cell.array, axis=2)
    own = off.argmin(axis=1)
    repeated = cell.copy()
    images = np.round(apart[np.arange(len(cell)), own])
    repeated.set_cell(cell.cell.array @ inverse @ after.cell.array)
    repeated.positions = after.positions[own] + images @ after.cell.array
    return repeated


def _groups(frequencies: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the number of the degenerate set that each mode belongs to."""
    return np.concatenate([[0], np.cumsum(np.diff(frequencies) > DEGENERATE)])


def matched_differences(mine: Modes, reference: Modes) -> NDArray[np.float64]:
    """Frequency differences (THz) of modes matched by eigenvector, in the order of the reference.

    Overlaps are squared and averaged over degenerate sets, within which eigenvectors are arbitrary.
    """
    flat = [each.vectors.reshape(len(each.vectors), -1) for each in (reference, mine)]
    overlap = (flat[0] @ flat[1].T) ** 2
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
    phonon = make_phonopy(atoms, 2 * np.eye(3, dtype=int), primitive_matrix=np.eye(3), symprec=1e-4)
    modes = compute_commensurate_modes(compute_force_constants(phonon, calc).phonon)
    return [(q.tolist(), float(row[0])) for q, row in zip(modes.qpoints, modes.frequencies, strict=True)]


def test_errors(name: str, calc: Calculator, frames: list[Atoms]) -> list[Row]:
    """Errors on the test configurations of one framework, per kind."""
    rows = []
    kinds = {TITLES.get(a.info["kind"], a.info["kind"]) for a in frames}
    for kind in sorted(kinds):
        force, size, energy, stress = [], [], [], []
        for frame in (a for a in frames if TITLES.get(a.info["kind"], a.info["kind"]) == kind):
            atoms, labels = frame.copy(), get_labels(frame)
            atoms.calc = calc
            force.append(np.mean((atoms.get_forces() - labels.forces) ** 2))
            size.append(np.mean(labels.forces**2))
            energy.append((atoms.get_potential_energy() - labels.energy) / len(atoms))
            left = np.square(atoms.get_stress() - labels.stress)
            stress.append((left[:3].sum() + 2 * left[3:].sum()) / 9)
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


def evaluate(model: Path, out: Path) -> list[Row]:
    """Fill the acceptance table of a finished model.

    Parameters
    ----------
    model : Path
        Packed model, the JSON file.
    out : Path
        Folder that ``acceptance.json`` and the relaxed structures are written to.
    """
    out.mkdir(parents=True, exist_ok=True)
    calc = MaceMOF(model)
    rows: list[Row] = []
    details: dict[str, Any] = {}
    cells = {a.info["source"]: a for a in archive.LABELS.read("hessians")}
    unseen = archive.LABELS.read("unseen")
    for reference_atoms in archive.LABELS.read("minima"):
        name = reference_atoms.info["source"]
        reference = make_modes(get_hessian(cells[name]), cells[name].get_masses())
        atoms = relax(reference_atoms, calc, fmax=FMAX).atoms
        write_frames(out / f"{name}.extxyz", [Atoms(atoms)])
        atoms.calc = calc
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
        mine = modes_of(repeat_as(cells[name], reference_atoms, atoms), calc)
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
        rows += test_errors(name, calc, [a for a in unseen if a.info["source"] == name])
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


def main() -> None:
    """Evaluate a packed model, unless that is done."""
    model, out = map(Path, sys.argv[1:])
    if not (out / "acceptance.json").exists():
        evaluate(model, out)
    print(format_rows(read_rows(out / "acceptance.json")))


if __name__ == "__main__":
    main()
