"""What a database says of a finished step: the numbers, words and flags that one asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from phonopy_mlp.cli.steps.qha import CAVEATS, ROOM_TEMPERATURE
from phonopy_mlp.files import parse_yaml
from phonopy_mlp.report.sections.thermal import THERMAL_FILE
from phonopy_mlp.screen.task import Value

_EXPANSION = {
    "V (A^3)": ("volume", 1.0),
    "alpha_V (1e-6/K)": ("volumetric_expansion", 1e-6),
    "alpha (1e-6/K)": ("linear_expansion", 1e-6),
    **{f"alpha_{axis} (1e-6/K)": (f"expansion_{axis}", 1e-6) for axis in "abc"},
    "B (GPa)": ("bulk_modulus", 1.0),
    "Grueneisen": ("grueneisen", 1.0),
}
"""Name and unit of what a record may have of thermal expansion; which of it depends on crystal and way."""


def find_values(step: str, record: Mapping[str, Any], folder: Path) -> dict[str, Value]:
    """Return the values of a step from its record and its files.

    Energies in eV, volumes in A^3, frequencies in THz, moduli in GPa, entropies and heat capacities in J/(mol K),
    free energies in kJ/mol, thermal expansion in 1/K; of the cell as it is, per primitive cell where phonopy computes
    them.
    """
    steps = record.get("steps") or {}
    found = dict(_FINDERS[step](record, folder))
    checks = [check for entry in steps.values() for check in _find_checks(entry)]
    if checks:
        found["doubtful"] = ",".join(sorted({name for name, sound in checks if not sound}))
    domain = record.get("domain")
    if domain is not None:
        found["domain"] = ",".join(sorted({finding["kind"] for finding in domain["findings"]}))
    return {name: value for name, value in found.items() if value is not None}


def _find_checks(entry: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Yield what of a step was checked, and whether it is sound; of volumes that were left out nothing."""
    for name, check in (entry.get("health") or {}).items():
        yield name, check["sound"]
    for name in CAVEATS:
        if name in entry:
            of_each = entry[name] if isinstance(entry[name], list) else [entry[name]]
            yield name, not any(compress(of_each, entry.get("used", [True] * len(of_each))))


def _find_relaxation(record: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, Any]]:
    steps = record["steps"]
    entries = [steps[name] for name in ("relax", "relax_in_symmetry") if name in steps]
    yield "energy_at_minimum", entries[-1]["energy"]
    yield "volume_change", float(np.prod([1 + entry["volume_change"] for entry in entries]) - 1)
    yield "residual_force", entries[-1]["residual_force"]
    yield "relax_steps", sum(entry["steps"] for entry in entries)
    yield from _find_groups(entries)


def _find_groups(entries: list[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    yield "group_given", _plain_group(entries[0]["space_groups_before"][-1])
    yield "group_relaxed", _plain_group(entries[-1]["space_groups_after"][-1])


def _plain_group(text: str) -> str:
    """Return symbol and number alone of "Cc (9) at 0.01 A"."""
    return text.partition(" at ")[0]


def _find_stability(record: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, Any]]:
    entry = record["steps"]["stabilise"]
    yield "stable", entry["stable"]
    yield "lowest_frequency", entry["lowest_frequency"]
    yield "imaginary_modes", len(entry["unstable_modes"])
    yield "elastically_stable", entry["born_stable"]
    yield "accepted_steps", sum(step["accepted"] for step in entry["trail"])
    yield "energy_at_minimum", entry["energy"]
    if accepted := [step for step in entry["trail"] if step["accepted"]]:
        yield "group_stabilised", _plain_group(accepted[-1]["space_groups_after"][-1])


def _find_phonons(record: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, Any]]:
    entry = record["steps"]["force_constants"]
    yield "phonon_lowest_frequency", entry["lowest_commensurate_frequency"]
    yield "phonon_imaginary_modes", entry["imaginary_commensurate_modes"]
    yield "evaluations", entry["evaluations"]
    yield "primitive_atoms", entry["primitive_atoms"]
    path = folder / THERMAL_FILE
    if path.is_file():
        rows = parse_yaml(path.read_bytes())["thermal_properties"]
        temperatures = [row["temperature"] for row in rows]
        if min(temperatures) <= ROOM_TEMPERATURE <= max(temperatures):
            for name in ("free_energy", "entropy", "heat_capacity"):
                yield f"{name}_300K", float(np.interp(ROOM_TEMPERATURE, temperatures, [row[name] for row in rows]))


def _find_eos(record: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, Any]]:
    entry = record["steps"]["eos"]
    yield "bulk_modulus", entry["bulk_modulus"][0]
    yield "bulk_modulus_error", entry["bulk_modulus"][1]
    yield "bulk_modulus_derivative", entry["bulk_modulus_derivative"][0]
    yield "eos_volume", entry["volume"][0]


def _find_elastic(record: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, Any]]:
    entry = next(entry for name, entry in record["steps"].items() if name.startswith("elastic"))
    yield "elastically_stable", entry["born_stable"]
    for name, value in entry.get("hill", {}).items():
        yield f"hill_{name}", value
    yield "anisotropy", entry["universal_anisotropy"]


def _find_expansion(record: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, Any]]:
    entry = record["steps"]["qha"]
    temperatures = entry["T (K)"]
    if min(temperatures) <= ROOM_TEMPERATURE <= max(temperatures):
        for key, (name, unit) in _EXPANSION.items():
            if key in entry:
                yield f"{name}_300K", float(np.interp(ROOM_TEMPERATURE, temperatures, entry[key])) * unit


_FINDERS = {
    "relax": _find_relaxation,
    "stabilise": _find_stability,
    "phonons": _find_phonons,
    "eos": _find_eos,
    "elastic": _find_elastic,
    "qha": _find_expansion,
}
