"""Pore diameters of well-known frameworks, from Zeo++, on a grid, and as published; writes ``results/pores.csv``.

The frameworks are as published from X-ray diffraction, without solvent and, of HKUST-1, without the water on copper;
UiO-66 is the package's. The grid knows nothing of Zeo++ but the radii of its atoms; its diameters may be off by its
pitch times the square root of 3, and are too small as a rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ase import Atoms
from ase.spacegroup import crystal
from pore_grid import compute_on_grid
from pyzeo.extension import initializeRadTable, lookupRadius
from rows import RESULTS, write_rows

from mace_mof_calc import structures
from mace_mof_calc.training.curate.pores import compute_pore_diameters
from mace_mof_calc.training.curate.symmetry import reduce_to_primitive

PITCH = 0.15
ZEO = "Zeo++ by Sarkisov et al., Chem. Mater. 32, 9849 (2020), file MOFsubsetZeo++.dat, refcode"
PUBLISHED = {
    "MOF-5": (7.77, 15.06, f"{ZEO} SAHYOQ"),
    "UiO-66": (3.85, 8.97, f"{ZEO} RUBTAK02"),
    "ZIF-8": (3.4, 11.6, "Park et al., Proc. Natl. Acad. Sci. 103, 10186 (2006)"),
    "HKUST-1": (6.35, 12.88, f"{ZEO} FIQCEN"),
}


def make_mof5() -> Atoms:
    """Make MOF-5 after Eddaoudi et al., Science 295, 469 (2002)."""
    sites = {
        "Zn": [(0.2934, 0.2066, 0.2066)],
        "O": [(0.25, 0.25, 0.25), (0.2819, 0.2181, 0.134)],
        "C": [(0.25, 0.25, 0.1113), (0.25, 0.25, 0.0538), (0.2829, 0.2171, 0.0269)],
        "H": [(0.3049, 0.1951, 0.0448)],
    }
    return _build(sites, 225, 25.832)


def make_zif8() -> Atoms:
    """Make ZIF-8 after Park et al., Proc. Natl. Acad. Sci. 103, 10186 (2006), its methyl groups turned one way."""
    sites = {
        "Zn": [(0.0, 0.5, 0.25)],
        "N": [(0.40977, 0.96839, 0.68281)],
        "C": [(0.37705, 0.00789, 0.62301), (0.36851, 0.89918, 0.68752), (0.40612, 0.08552, 0.59394)],
        "H": [(0.37775, 0.85898, 0.72343)],
    }
    methyl = {"H": [(0.54132, 0.92025, 0.57434), (0.59423, 0.87728, 0.63643), (0.62766, 0.89617, 0.55256)]}
    return _build(sites, 217, 16.991) + _build(methyl, 197, 16.991)


def make_hkust1() -> Atoms:
    """Make HKUST-1 after Chui et al., Science 283, 1148 (1999)."""
    sites = {
        "Cu": [(0.2853, 0.2853, 0.0)],
        "O": [(0.3166, 0.2431, 0.9478)],
        "C": [(0.2968, 0.2032, 0.9313), (0.322, 0.178, 0.887), (0.3655, 0.1994, 0.8655)],
        "H": [(0.3802, 0.228, 0.8802)],
    }
    return _build(sites, 225, 26.343)


def make_frameworks() -> Iterator[tuple[str, Atoms]]:
    """Give each framework with its name."""
    yield "MOF-5", make_mof5()
    yield "UiO-66", structures.load("UiO-66")
    yield "ZIF-8", make_zif8()
    yield "HKUST-1", make_hkust1()


def get_radii(atoms: Atoms) -> dict[str, float]:
    """Return Zeo++'s radii of the elements of a structure, Angstrom."""
    initializeRadTable()
    return {symbol: lookupRadius(symbol.encode()) for symbol in set(atoms.symbols)}


def _build(sites: dict[str, list[tuple[float, float, float]]], spacegroup: int, length: float) -> Atoms:
    symbols = [symbol for symbol, own in sites.items() for _ in own]
    basis = [site for own in sites.values() for site in own]
    found = crystal(symbols, basis, spacegroup=spacegroup, cellpar=[length] * 3 + [90.0] * 3)
    return Atoms(found.numbers, positions=found.positions, cell=found.cell, pbc=True)


def main() -> None:
    """Compute, print and write the table."""
    rows: list[dict[str, Any]] = []
    for name, whole in make_frameworks():
        atoms = reduce_to_primitive(whole)
        found = compute_pore_diameters(atoms)
        limiting, largest = compute_on_grid(atoms, get_radii(atoms), PITCH)
        published = dict(zip(("limiting_published", "largest_published", "source"), PUBLISHED[name], strict=True))
        rows.append(
            {
                "framework": name, "atoms": len(atoms), "limiting": found.limiting, "limiting_grid": float(limiting),
                "largest": found.largest, "largest_grid": float(largest), **published,
            }
        )  # fmt: skip
        print(rows[-1], flush=True)
    write_rows(RESULTS / "pores.csv", rows, digits=4)


if __name__ == "__main__":
    main()
