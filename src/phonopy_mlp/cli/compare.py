"""``phonopy-mlp compare``: two results of one kind."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from phonopy_mlp.cli.arguments import plain_numbers
from phonopy_mlp.cli.checks import working_folder
from phonopy_mlp.compare.deviation import Deviation
from phonopy_mlp.compare.dos import compare_total_dos, read_total_dos
from phonopy_mlp.compare.frequencies import CUT, Pairing, compare_bands, compare_frequencies
from phonopy_mlp.compare.labels import compare_labels, read_labelled, results_of, same_structure
from phonopy_mlp.compare.matching import in_setting_of
from phonopy_mlp.compare.plots import plot_frequencies, plot_labels, plot_total_dos
from phonopy_mlp.compare.reading import read_phonons
from phonopy_mlp.compare.structures import StructureComparison, compare_structures
from phonopy_mlp.errors import SettingsError, StructureError
from phonopy_mlp.files import alone, exists, write_yaml
from phonopy_mlp.inputs import looks_like_yaml, plain_suffix
from phonopy_mlp.phonons import MESH
from phonopy_mlp.plot import check_figure, write_figure
from phonopy_mlp.structures import from_phonopy, read_structure

SUMMARY = "two results: frequencies, densities of states, structures, or energies and forces"
COMPARE_FILE = "compare.yaml"

_NAMES = ("A", "B")

Array = np.ndarray[Any, Any]
Rows = list[tuple[str, str]]


def run(argv: Sequence[str]) -> int:
    """Compare what two paths hold, print a table, write ``compare.yaml``, and return the exit status.

    Raises
    ------
    PhonopyMlpError
        Two things that cannot be compared, or options that have no effect on them.

    """
    options = make_parser().parse_args(plain_numbers(argv))
    folder = working_folder()
    if options.figure is not None:
        check_figure(options.figure)
    kinds = [_kind(path) for path in (options.a, options.b)]
    if kinds[0] != kinds[1]:
        raise SettingsError(
            f"'{options.a}' and '{options.b}' cannot be compared",
            f"one is {_KINDS[kinds[0]]}, the other is {_KINDS[kinds[1]]}",
            "Give two of one kind",
        )
    with alone(folder, "compare"):
        found, rows = _COMPARISONS[kinds[0]](options)
        write_yaml(folder / COMPARE_FILE, {"a": str(options.a), "b": str(options.b), "unit": _UNITS, **found})
    width = max(len(name) for name, _ in rows)
    print("\n".join([f"A: {options.a}", f"B: {options.b}", *(f"  {name:<{width}}  {value}" for name, value in rows)]))
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    mesh = " ".join(map(str, MESH))
    parser = argparse.ArgumentParser(
        prog="phonopy-mlp compare",
        usage="phonopy-mlp compare A B [options]",
        description=f"Compare {SUMMARY}. Writes {COMPARE_FILE}.",
        allow_abbrev=False,
    )
    what = "folder of a run, phonopy yaml, total_dos.dat, or structures, with or without energies and forces"
    parser.add_argument("a", metavar="A", type=Path, help=what)
    parser.add_argument("b", metavar="B", type=Path, help="another of the same kind")
    parser.add_argument("--mesh", type=int, nargs=3, metavar="N", help=f"of q-points, holds Gamma (default: {mesh})")
    parser.add_argument(
        "--cut", type=float, metavar="THZ", help=f"upper end of the low frequencies (default: {CUT:g}; see the docs)"
    )
    parser.add_argument("--figure", type=Path, metavar="PNG", help="draw what was compared")
    parser.add_argument("--band", nargs="+", metavar="Q", help="draw bands, too: auto, or corners as in phonopy")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _kind(path: Path) -> str:
    if not exists(path):
        raise SettingsError(f"'{path}' was not found", "there is no such file or folder", "Check its name")
    if path.is_dir() or looks_like_yaml(path):
        return "phonons"
    return "dos" if plain_suffix(path) == ".dat" else "structures"


def _compare_phonons(options: argparse.Namespace) -> tuple[dict[str, Any], Rows]:
    paths = None
    if options.band is not None:
        if options.figure is None:
            raise SettingsError("--band without --figure", "bands are drawn", "Add --figure PNG")
        paths = _read_band(options.band)
    a, b = (read_phonons(path) for path in (options.a, options.b))
    compared = compare_frequencies(a, b, mesh=options.mesh or MESH, cut=CUT if options.cut is None else options.cut)
    own = from_phonopy(a.primitive)
    structures = compare_structures(own, in_setting_of(own, from_phonopy(b.primitive), compared.match))
    if options.figure is not None:
        bands = None if options.band is None else compare_bands(a, b, compared.match, paths=paths)
        write_figure(plot_frequencies(compared, _NAMES, _title(options), bands=bands), options.figure)
    pairings: tuple[Pairing, ...] = ("order", "overlap")
    rows = [
        (f"Frequencies, {which}, paired by {pairing}", _say(compared.deviation(pairing, below=below), "THz"))
        for which, below in (("full range", None), (f"below {compared.cut:g} THz", compared.cut))
        for pairing in pairings
    ]
    found = {"frequencies": compared.describe(), "primitive_cells": structures.describe()}
    return found, [*rows, *_structure_rows(structures)]


def _compare_dos(options: argparse.Namespace) -> tuple[dict[str, Any], Rows]:
    if options.mesh is not None or options.band is not None:
        raise SettingsError(
            "--mesh or --band with densities of states",
            "files of them do not tell which state belongs to which q-point and band",
            "Give two runs with force constants, or leave the option out",
        )
    a, b = (read_total_dos(path) for path in (options.a, options.b))
    compared = compare_total_dos(a, b, cut=options.cut)
    if options.figure is not None:
        write_figure(plot_total_dos(a, b, compared, _NAMES, _title(options)), options.figure)
    rows = [
        (f"Lowest modes, begun below {compared.cut:.2f} THz", _say(compared.deviation(), "THz")),
        ("Files may be complete up to", f"{compared.trusted:.2f} THz"),
        ("States in the files", " and ".join(f"{each:.1f}" for each in compared.integrals)),
    ]
    return {"density_of_states": compared.describe()}, rows


def _compare_structures(options: argparse.Namespace) -> tuple[dict[str, Any], Rows]:
    if any(each is not None for each in (options.mesh, options.band, options.cut)):
        raise SettingsError(
            "--mesh, --band or --cut with structures", "there are no frequencies", "Leave the option out"
        )
    labelled = [read_labelled(path) for path in (options.a, options.b)]
    known = all(results_of(atoms) for side in labelled for atoms in side)
    if known and (max(map(len, labelled)) > 1 or same_structure(labelled[0][0], labelled[1][0])):
        labels = compare_labels(*labelled)
        if options.figure is not None:
            write_figure(plot_labels(labels, _NAMES, _title(options)), options.figure)
        rows = [(name, _say(each, "")) for name, each in labels.deviations().items()]
        return {"labels": labels.describe()}, [("structures", str(labels.structures)), *rows]
    for path, side in zip((options.a, options.b), labelled, strict=True):
        if len(side) > 1:
            raise StructureError(
                f"'{path}' holds {len(side)} structures",
                "without energies, forces or stresses of each in both files one structure is compared with one",
                "Give files of one structure, or of the same ones with their results",
            )
    if options.figure is not None:
        raise SettingsError("--figure with two structures", "there is nothing to draw", "Leave it out")
    structures = compare_structures(*(read_structure(path) for path in (options.a, options.b)))
    return {"structures": structures.describe()}, _structure_rows(structures)


_KINDS: Mapping[str, str] = {
    "phonons": "a run or a phonopy yaml",
    "dos": "a density of states",
    "structures": "a structure",
}

_COMPARISONS: Mapping[str, Callable[[argparse.Namespace], tuple[dict[str, Any], Rows]]] = {
    "phonons": _compare_phonons,
    "dos": _compare_dos,
    "structures": _compare_structures,
}

_UNITS = {"length": "angstrom", "frequency": "THz", "energy": "eV", "force": "eV/angstrom", "stress": "eV/angstrom^3"}


def _structure_rows(compared: StructureComparison) -> Rows:
    lengths = ", ".join(f"{each:+.4f}" for each in compared.length_deviations)
    rows = [
        ("Lengths a, b, c, and their mean", f"{lengths}, {compared.mean_length_deviation:+.4f} %"),
        ("Volume", f"{compared.volume_deviation:+.4f} %"),
    ]
    for each in compared.elements:
        distance = "" if each.rms_distance is None else f"; {each.rms_distance:.4f} A by place"
        rows.append(
            (
                f"Fractional coordinates of {each.element}",
                f"RMSD {each.rmsd:.6f}, without minimum image {each.paper_rmsd:.6f}{distance}",
            )
        )
    for name, symmetry in (("A", compared.symmetry_a), ("B", compared.symmetry_b)):
        groups = "; ".join(f"{each.group}, {each.displacements} displacements" for each in symmetry)
        rows.append((f"Symmetry of {name}", groups))
    return rows


def _say(found: Deviation | None, unit: str) -> str:
    if found is None:
        return "nothing to compare"
    return (
        f"RMSD {found.rmsd:.5g}, MAE {found.mae:.5g}, largest {found.largest:+.5g} {unit}".rstrip()
        + f" ({found.count})"
    )


def _read_band(words: Sequence[str]) -> list[Array] | None:
    """Return the corners of each path, or None for seekpath's."""
    text = " ".join(words)
    if text == "auto":
        return None
    try:
        paths = [np.array([float(Fraction(word)) for word in part.split()]).reshape(-1, 3) for part in text.split(",")]
    except (ValueError, ZeroDivisionError):
        paths = []
    if not paths or min(map(len, paths)) < 2:
        raise SettingsError(
            f"--band {text}",
            "it is neither 'auto' nor paths of at least two q-points, three numbers each",
            "Give for example --band 0 0 0 1/2 0 0",
        )
    return paths


def _title(options: argparse.Namespace) -> str:
    return f"A: {options.a}\nB: {options.b}"
