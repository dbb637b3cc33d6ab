"""Minima of the frameworks with GFN1-xTB, and the CIFs made of them."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import spglib
from ase import Atoms
from ase.constraints import FixSymmetry
from ase.filters import FrechetCellFilter
from ase.io import read
from ase.optimize import LBFGS
from crystals import Framework
from hessian import Modes, reference_modes
from labels import RepeatedGFN1, atomic_write, labelled

FMAX = 1e-4  # eV/A
STEPS = 600
IMAGINARY = 0.05  # THz; modes below minus this are followed
SYMPREC = 1e-3  # A


def relax(start: Atoms, repeat: tuple[int, int, int], work: Path, tag: str) -> Atoms:
    """Relax with GFN1-xTB, cell included, in the space group of the start.

    Parameters
    ----------
    start : Atoms
        Primitive cell.
    repeat : tuple of int
        Repetition that is computed.
    work : Path
        Work folder; the result goes to ``minima/TAG.extxyz``, the path to ``minima/TAG-path.extxyz``.
    tag : str
        Name of the result.

    Returns
    -------
    Atoms
        Primitive cell at the minimum, with energy (eV), forces (eV/A) and stress (eV/A^3).
    """
    target, trail = work / "minima" / f"{tag}.extxyz", work / "minima" / f"{tag}-path.extxyz"
    if target.exists():
        return read(target)
    frames: list[Atoms] = read(trail, ":") if trail.exists() else []
    atoms = start.copy()
    atoms.set_constraint(FixSymmetry(atoms, symprec=SYMPREC))
    if frames:
        atoms.set_cell(frames[-1].cell)
        atoms.set_positions(frames[-1].positions, apply_constraint=False)
    calc = RepeatedGFN1(repeat)
    atoms.calc = calc
    optimiser = LBFGS(FrechetCellFilter(atoms), logfile=str(work / f"relax-{tag}.log"), maxstep=0.1)

    def keep() -> None:
        frames.append(labelled(atoms, calc))
        atomic_write(trail, frames)

    optimiser.attach(keep, interval=1)
    optimiser.run(fmax=FMAX, steps=STEPS)
    result = labelled(atoms, calc)
    atomic_write(target, result)
    return result


def _folded(modes: Modes, primitive: Atoms, k: int) -> np.ndarray | None:
    """Displacement (A, largest 0.3) of mode `k` on the primitive cell, or None where it differs between the copies."""
    amplitudes = np.zeros(modes.vectors.shape[1])
    amplitudes[k] = 1.0
    u = modes.displacement(amplitudes)
    inverse = np.linalg.inv(primitive.cell.array)
    out = np.zeros((len(primitive), 3))
    for i, scaled in enumerate(primitive.get_scaled_positions()):
        d = modes.atoms.positions @ inverse - scaled
        same = np.flatnonzero(np.abs(d - np.round(d)).max(axis=1) < 1e-3)
        out[i] = u[same].mean(axis=0)
    if np.sum(out**2) * len(u) / len(primitive) < 0.5 * np.sum(u**2):
        return None
    return out * (0.3 / np.abs(out).max())


def find_minimum(framework: Framework, work: Path) -> Atoms:
    """Relax a framework, follow its imaginary modes at Gamma, and keep the lowest minimum.

    The result is ``minima/NAME.extxyz``. Where the idealised structure is a saddle point, that stays as
    ``NAME-saddle``, and the candidates reached from it (along each imaginary mode that is the same in all copies of the
    primitive cell, and along sums of two) as ``NAME-MODES``.
    """
    target = work / "minima" / f"{framework.name}.extxyz"
    if target.exists():
        return read(target)
    tag = f"{framework.name}-saddle"
    ideal = relax(framework.primitive(), framework.repeat, work, tag)
    modes = reference_modes(framework, work, tag)
    soft = [_folded(modes, ideal, k) for k in np.flatnonzero(modes.frequencies < -IMAGINARY)]
    soft = [u for u in soft if u is not None]
    candidates = [ideal]
    for size in (1, 2):
        for chosen in itertools.combinations(range(len(soft)), size):
            start = ideal.copy()
            start.positions += sum(soft[k] for k in chosen)
            name = f"{framework.name}-{'+'.join(str(k) for k in chosen)}"
            candidates.append(relax(start, framework.repeat, work, name))
    best = min(candidates, key=lambda a: a.get_potential_energy())
    atomic_write(target, best)
    return best


def space_group(atoms: Atoms) -> str:
    """International symbol and number of the space group at 1e-3 A."""
    return str(spglib.get_spacegroup((atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), symprec=SYMPREC))


def write_cif(atoms: Atoms, name: str, path: Path) -> None:
    """Write a P1 CIF with ten decimals, through a temporary file and a rename.

    Parameters
    ----------
    atoms : Atoms
        The structure.
    name : str
        Name of the data block.
    path : Path
        Target.
    """
    a, b, c, alpha, beta, gamma = atoms.cell.cellpar()
    group = space_group(atoms)
    lines = [
        f"# {name} at the minimum of GFN1-xTB (tblite); space group {group} at {SYMPREC} A; all atoms listed",
        f"data_{name}",
        f"_cell_length_a {a:.10f}",
        f"_cell_length_b {b:.10f}",
        f"_cell_length_c {c:.10f}",
        f"_cell_angle_alpha {alpha:.10f}",
        f"_cell_angle_beta {beta:.10f}",
        f"_cell_angle_gamma {gamma:.10f}",
        "_symmetry_space_group_name_H-M 'P 1'",
        "_symmetry_Int_Tables_number 1",
        "loop_",
        "_symmetry_equiv_pos_as_xyz",
        "'x, y, z'",
        "loop_",
        "_atom_site_label",
        "_atom_site_type_symbol",
        "_atom_site_fract_x",
        "_atom_site_fract_y",
        "_atom_site_fract_z",
        "_atom_site_occupancy",
    ]
    scaled = atoms.get_scaled_positions()
    scaled = np.where(scaled > 1 - 5e-11, 0.0, scaled)
    for k, (symbol, s) in enumerate(zip(atoms.symbols, scaled, strict=True), start=1):
        lines.append(f"{symbol}{k} {symbol} {s[0]:.10f} {s[1]:.10f} {s[2]:.10f} 1.0")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    temporary.replace(path)
