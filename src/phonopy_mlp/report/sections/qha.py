"""Quasi-harmonic approximation: over volumes, over lengths, or as a tensor."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from phonopy.qha.eos import get_eos

from phonopy_mlp.plot import COLOURS
from phonopy_mlp.qha.output import LATTICES_FILE, LINEAR_FILE, TENSOR_FILE, VOLUMES_FILE
from phonopy_mlp.report.chart import Array, Curve, draw_chart
from phonopy_mlp.report.folder import FinishedRun
from phonopy_mlp.report.markup import paragraph, table
from phonopy_mlp.report.section import INK, Figure, Section
from phonopy_mlp.report.sections.committee import expansion_curve

HELMHOLTZ_FILE = "helmholtz-volume.dat"
VOLUME_FILE = "volume-temperature.dat"
_CURVES = 6
_T = "Temperature (K)"
_HEAD = (
    "E (eV)",
    "lowest frequency (THz)",
    "imaginary modes",
    "mesh modes left out (%)",
    "unstable long waves",
    "unstable strains",
    "doubtful",
)

_TABLES = {
    VOLUME_FILE: ("volume_temperature", "Volume at zero pressure.", "V (Å³/primitive cell)", 1.0),
    "thermal_expansion.dat": (
        "thermal_expansion",
        "Volumetric expansion coefficient.",
        "Volumetric α (10⁻⁶/K)",
        1e6,
    ),
    LINEAR_FILE: (
        "linear_expansion",
        "Linear expansion coefficient, the same along any axis.",
        "Linear α (10⁻⁶/K)",
        1e6,
    ),
    "bulk_modulus-temperature.dat": ("bulk_modulus", "Isothermal bulk modulus.", "B (GPa)", 1.0),
    "Cp-temperature.dat": (
        "heat_capacity",
        "Heat capacity at constant pressure, per mol of primitive cells.",
        "Cₚ (J/K/mol)",
        1.0,
    ),
    "gruneisen-temperature.dat": ("gruneisen", "Thermodynamic Grüneisen parameter.", "γ", 1.0),
}
"""Name, caption, axis, and factor to the axis's unit of each file of two columns."""

_SPREADS = {
    VOLUME_FILE: ("V_A^3", 1.0),
    "thermal_expansion.dat": ("alpha_V_1/K", 1e6),
    LINEAR_FILE: ("alpha_V_1/K", 1e6 / 3),
    "bulk_modulus-temperature.dat": ("B_GPa", 1.0),
}
"""Of some of these files: which column of a committee's has it, and factor to the axis's unit."""

_AXES = {
    "lattice_parameters-temperature.dat": ("lengths", "Lengths of the lattice at zero pressure.", "Length (Å)", 1.0),
    "axial_thermal_expansion.dat": ("axial_expansion", "Linear expansion coefficients.", "α (10⁻⁶/K)", 1e6),
}


def make(run: FinishedRun) -> Section | None:
    """Return the curves of phonopy-qha's files, those of its axial kin, or of the expansion tensor."""
    ways = _ways(run)
    over_volumes, over_lengths = "volumes" in ways, "lengths" in ways
    figures = [
        *(_helmholtz(run) if over_volumes else ()),
        *_from_tables(run, _TABLES if over_volumes else [VOLUME_FILE] if over_lengths else ()),
        *(_over_axes(run) if over_lengths else ()),
        *(_from_tensor(run) if "tensor" in ways else ()),
    ]
    if not figures:
        return None
    return Section(
        "qha",
        "Quasi-harmonic approximation",
        before="".join(
            (
                _describe_volumes(run) if over_volumes else "",
                _describe_lattices(run) if over_lengths else "",
                _describe_tensor(run) if "tensor" in ways else "",
            )
        ),
        figures=tuple(figures),
        facts=_facts(run) if over_volumes else (),
    )


def _ways(run: FinishedRun) -> set[str]:
    """Return how expansion was computed, by the columns that the records have of it."""
    steps = [(record.get("steps") or {}).get("qha") for record in run.records.values()]
    return {"volumes" if "V (A^3)" in step else "lengths" if "a (A)" in step else "tensor" for step in steps if step}


def _helmholtz(run: FinishedRun) -> list[Figure]:
    """Return F(V) at some temperatures, with the fit that gave the other curves."""
    text = run.read_text(HELMHOLTZ_FILE)
    if text is None:
        return []
    blocks = re.findall(r"# Temperature: (.*)\n# Parameters: (.*)\n((?:[^#\n].*\n)+)", text)
    chosen = np.unique(np.linspace(0, len(blocks) - 1, _CURVES).round().astype(int))
    form = _form(run)
    curves, minima = [], []
    for k, colour in zip(chosen, COLOURS, strict=False):
        temperature, parameters, text = blocks[k]
        volumes, energies = np.array([line.split() for line in text.splitlines()], dtype=float).T
        fit = np.array(parameters.split(), dtype=float)
        line = np.linspace(volumes.min(), volumes.max(), 81)
        label = f"{float(temperature):g} K"
        curves.append(Curve(volumes, 1e3 * (energies - fit[0]), label, colour, "points"))
        curves.append(Curve(line, 1e3 * (get_eos(form)(line, fit) - fit[0]), colour=colour))
        minima.append(fit[3])
    return [
        draw_chart(
            "helmholtz_volume",
            f"Static and vibrational energy, each less its minimum, with {form.replace('_', '-').title()} fits. The "
            "minima are at V(T).",
            "Volume (Å³/primitive cell)",
            "F − minimum (meV/primitive cell)",
            [*curves, Curve(np.array(minima), np.zeros(len(minima)), "minima", INK, "points")],
        )
    ]


def _from_tables(run: FinishedRun, files: Iterable[str]) -> list[Figure]:
    figures = []
    for file in files:
        name, caption, title, factor = _TABLES[file]
        columns = run.read_table(file)
        if columns is None:
            continue
        curves = [Curve(columns[0], factor * columns[1], "this run")]
        if file in _SPREADS and (spread := expansion_curve(run, *_SPREADS[file])) is not None:
            curves.append(spread)
        figures.append(draw_chart(name, caption, _T, title, curves))
    return figures


def _over_axes(run: FinishedRun) -> list[Figure]:
    figures = []
    for file, (name, caption, title, factor) in _AXES.items():
        columns = run.read_table(file)
        if columns is not None:
            figures.append(draw_chart(name, caption, _T, title, _per_axis(columns[0], factor * columns[1:4])))
    return figures


def _from_tensor(run: FinishedRun) -> list[Figure]:
    content = run.read_yaml(TENSOR_FILE)
    if content is None:
        return []
    rows = content["temperatures"]
    temperatures = np.array([row["temperature"] for row in rows], dtype=float)
    axial = 1e6 * np.array([row["axial_expansion"] for row in rows], dtype=float).T
    volumetric = 1e6 * np.array([row["volumetric_expansion"] for row in rows], dtype=float)
    return [
        draw_chart(
            "expansion_tensor",
            "Linear expansion coefficients along the lattice vectors, and the volumetric one, from the elastic "
            "constants and the Grüneisen tensor.",
            _T,
            "α (10⁻⁶/K)",
            [*_per_axis(temperatures, axial), Curve(temperatures, volumetric, "volumetric", COLOURS[3])],
        )
    ]


def _per_axis(temperatures: Array, values: Array) -> list[Curve]:
    return [
        Curve(temperatures, row, name, colour) for row, name, colour in zip(values, "abc", COLOURS[:3], strict=True)
    ]


def _describe_volumes(run: FinishedRun) -> str:
    content = run.read_yaml(VOLUMES_FILE)
    if content is None:
        return ""
    points = content["volumes"]
    rows = [(f"{point['volume']:.3f}", *_cells(point), point["used"]) for point in points]
    used = [point for point in points if point["used"]]
    doubts = _warn_of(used)
    out = len(points) - len(used)
    said = f"{out} of {len(points)} volumes have imaginary modes and were left out."
    head = ("V (Å³)", *_HEAD, "used")
    return (
        (paragraph(said, kind="warning") if out else "")
        + doubts
        + paragraph("Everything is per primitive cell.")
        + table(rows, head=head)
    )


def _describe_lattices(run: FinishedRun) -> str:
    content = run.read_yaml(LATTICES_FILE)
    if content is None:
        return ""
    points = content["lattices"]
    rows = [(*(f"{length:.4f}" for length in point["lengths"]), *_cells(point)) for point in points]
    doubts = _warn_of(points)
    return doubts + table(rows, head=("a (Å)", "b (Å)", "c (Å)", *_HEAD))


def _describe_tensor(run: FinishedRun) -> str:
    content = run.read_yaml(TENSOR_FILE)
    if content is None:
        return ""
    return _warn_of([content])


def _cells(point: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what `_HEAD` names."""
    return (
        f"{point['energy']:.5f}",
        f"{point['lowest_frequency']:.4f}",
        point["imaginary_modes"],
        f"{100 * point['share_of_mesh_modes_left_out']:.2g}",
        point["unstable_long_waves"],
        point["unstable_strains"],
        ", ".join(name.replace("_", " ") for name in point["doubtful"]),
    )


def _warn_of(lattices: Sequence[Mapping[str, Any]]) -> str:
    """Return warnings of what is doubtful about lattices that were used."""
    said = []
    left_out = max(lattice["share_of_mesh_modes_left_out"] for lattice in lattices)
    if left_out > 0:
        said.append(
            f"Up to {100 * left_out:.2g} % of the mesh's modes are imaginary between the q-points that the supercell "
            "represents exactly, and left out of all sums."
        )
    unstable = sum(bool(lattice["unstable_long_waves"] or lattice["unstable_strains"]) for lattice in lattices)
    if unstable:
        said.append(
            f"Long acoustic waves or homogeneous strains lower the energy of {unstable} of {len(lattices)} lattices: "
            "their free energies mean little."
        )
    return "".join(paragraph(text, kind="warning") for text in said)


def _facts(run: FinishedRun) -> tuple[tuple[str, str], ...]:
    found = []
    for kind, file in (("Volumetric", "thermal_expansion.dat"), ("Linear", LINEAR_FILE)):
        columns = run.read_table(file)
        if columns is not None:
            k = int(np.argmin(np.abs(columns[0] - 300)))
            found.append((f"{kind} expansion at {columns[0][k]:g} K", f"{1e6 * columns[1][k]:.1f} × 10⁻⁶/K"))
    return tuple(found)


def _form(run: FinishedRun) -> str:
    """Return the equation of state that the run fitted; phonopy's file does not say."""
    for record in run.records.values():
        settings = record.get("settings") or {}
        for step in (*(settings.get("steps") or ()), settings.get("step")):
            if isinstance(step, Mapping) and "form" in step and "imaginary" in step:
                return str(step["form"])
    return "vinet"
