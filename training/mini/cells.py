"""Cells of the frameworks, from crystallographic facts to the structures that ship.

``python training/mini/cells.py start FOLDER`` writes the cell of each framework that is labelled, idealised, as
``NAME/NAME.cif``. ``... collect FOLDER`` reads the minima that were reached from there, ``NAME/stabilised.cif``, and
writes them as ``cells.extxyz``, and their primitive cells as the structures of the package. ``... reduce FOLDER`` reads
what these cells became in ``hessians.extxyz``, and writes the primitive ones, labelled, as ``minima.extxyz``: labelled
on their own they would be too narrow for the Gamma point.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import spglib
from ase import Atoms
from ase.io import read, write
from crystals import FRAMEWORKS

from mace_mof_calc.frames import FORCES, Labels, attach_labels, get_labels, read_frames, write_frames
from mace_mof_calc.training.hessians import HESSIAN

STRUCTURES = Path(__file__).resolve().parents[2] / "src" / "mace_mof_calc" / "data" / "structures"
SYMPREC = 1e-3  # A
SAME = 0.01  # A, between copies of an atom


def start(folder: Path) -> None:
    """Write the idealised cells."""
    for name, framework in FRAMEWORKS.items():
        path = folder / name / f"{name}.cif"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, framework.primitive() * framework.repeat)


def collect(folder: Path) -> None:
    """Write the minima, and the structures of the package."""
    cells = []
    for name, framework in FRAMEWORKS.items():
        cell = read(folder / name / "stabilised.cif")
        cell.arrays = {key: cell.arrays[key] for key in ("numbers", "positions")}
        cell.info = {"source": name, "kind": "minimum", "name": f"{name}-hessian"}
        cells.append(cell)
        write_cif(reduce(cell, framework.repeat), name, STRUCTURES / f"{name}.cif")
    write_frames(folder / "cells.extxyz", cells)


def reduce_labelled(folder: Path) -> None:
    """Write the primitive cells of the minima with labels."""
    minima = []
    for cell in read_frames(folder / "hessians.extxyz"):
        name = cell.info["source"]
        repeat, labels = FRAMEWORKS[name].repeat, get_labels(cell)
        primitive = reduce(cell, repeat)
        del primitive.arrays[HESSIAN]
        energy = labels.energy / int(np.prod(repeat))
        minima.append(attach_labels(primitive, Labels(energy, primitive.arrays[FORCES], labels.stress)))
        minima[-1].info["name"] = name
    write_frames(folder / "minima.extxyz", minima)


def reduce(cell: Atoms, repeat: tuple[int, int, int]) -> Atoms:
    """Return a primitive cell, with the first of the copies that a cell has of each atom."""
    lattice = cell.cell.array / np.array(repeat)[:, None]
    apart = (cell.positions[:, None] - cell.positions) @ np.linalg.inv(lattice)
    same = np.linalg.norm((apart - np.round(apart)) @ lattice, axis=2) < SAME
    first = np.flatnonzero(same.argmax(axis=1) == np.arange(len(cell)))
    copies = int(np.prod(repeat))
    if len(first) * copies != len(cell):
        raise ValueError(
            f"{cell.info['source']}: {len(first)} atoms are apart in {copies} copies of {len(cell)} together"
        )
    primitive = cell[first]
    primitive.set_cell(lattice)
    return primitive


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


def main() -> None:
    """Do one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("start", "collect", "reduce"))
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    {"start": start, "collect": collect, "reduce": reduce_labelled}[options.what](options.folder)


if __name__ == "__main__":
    main()
