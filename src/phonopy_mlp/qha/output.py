"""Files of the quasi-harmonic approximation, those of phonopy-qha."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import yaml
from phonopy.physical_units import get_physical_units
from phonopy.qha import anisotropic_output, output

from phonopy_mlp.files import replacing, write_yaml
from phonopy_mlp.qha.axes import AxialQhaResult
from phonopy_mlp.qha.point import LatticePoint, Stabilisation
from phonopy_mlp.qha.tensor import ExpansionTensorResult
from phonopy_mlp.qha.volumes import MlpQhaResult

TENSOR_FILE, VOLUMES_FILE, LATTICES_FILE = "expansion_tensor.yaml", "qha_volumes.yaml", "qha_lattices.yaml"
STABILISED_FILE = "qha_stabilised.yaml"
LINEAR_FILE = "linear_thermal_expansion.dat"

_WRITERS: dict[str, Callable[..., None]] = {
    "helmholtz-volume.dat": output.write_helmholtz_volume,
    "helmholtz-volume_fitted.dat": output.write_helmholtz_volume_fitted,
    "volume-temperature.dat": output.write_volume_temperature,
    "thermal_expansion.dat": output.write_thermal_expansion,
    "gibbs-temperature.dat": output.write_gibbs_temperature,
    "entropy-temperature.dat": output.write_entropy_temperature,
    "enthalpy-temperature.dat": output.write_enthalpy_temperature,
    "bulk_modulus-temperature.dat": output.write_bulk_modulus_temperature,
    "gruneisen-temperature.dat": output.write_gruneisen_temperature,
}

_AXIAL_WRITERS: dict[str, Callable[..., None]] = {
    "lattice_parameters-temperature.dat": anisotropic_output.write_lattice_parameters_temperature,
    "axial_thermal_expansion.dat": anisotropic_output.write_axial_thermal_expansion,
    "volume-temperature.dat": anisotropic_output.write_volume_temperature,
    "free_energy-temperature.dat": anisotropic_output.write_free_energy_temperature,
}

_UNITS = {"volume": "angstrom^3", "energy": "eV", "lowest_frequency": "THz"}
"""Of what `LatticePoint.describe` tells."""

_HEAT_CAPACITY_FILES = ("Cp-temperature.dat", "entropy-volume.dat", "Cv-volume.dat", "dsdv-temperature.dat")


def write_qha(result: MlpQhaResult, folder: Path) -> None:
    """Write what phonopy-qha reads and what it writes, in its units.

    ``e-v.dat`` (A^3, eV) and ``thermal_properties-01.yaml`` and so on, in the same order, are its input, of the volumes
    that were used, per primitive cell. The rest, ``volume-temperature.dat``, ``thermal_expansion.dat`` (volumetric,
    1/K) and others, comes from phonopy's own writers. ``linear_thermal_expansion.dat`` (1/K) is there for cubic
    crystals alone. ``qha_volumes.yaml`` tells of every volume, also those left out, and ``qha_stabilised.yaml`` of
    every step by which volumes were stabilised, where there are such.

    Raises
    ------
    OutputError
        The folder cannot be written.

    """
    used = [point for point, is_used in zip(result.points, result.used, strict=True) if is_used]
    _write_text(
        folder / "e-v.dat",
        "# volume (A^3) and static energy (eV) per primitive cell\n"
        + "".join(f"{point.volume:20.10f} {point.energy:20.10f}\n" for point in used),
    )
    for k, point in enumerate(used, start=1):
        _write_text(_thermal_file(folder, k), yaml.safe_dump(_thermal(result, point), sort_keys=False))
    # More volumes of an earlier run, which a pattern would hand to phonopy-qha as well.
    for path in takewhile(Path.exists, (_thermal_file(folder, k) for k in count(len(used) + 1))):
        path.unlink()
    write_yaml(folder / VOLUMES_FILE, _volumes(result))
    audits = _audits(result)
    # What this run has nothing of would else seem to be its own if an earlier one left it.
    if audits:
        write_yaml(folder / STABILISED_FILE, {"per": "primitive cell", "volumes": audits})
    else:
        (folder / STABILISED_FILE).unlink(missing_ok=True)
    if result.linear_expansion is not None:
        rows = zip(result.temperatures, result.linear_expansion, strict=True)
        lines = [f"{temperature:25.15f} {alpha:25.15f}\n" for temperature, alpha in rows]
        _write_text(folder / LINEAR_FILE, "".join(["# temperature (K), alpha (1/K)\n", *lines]))
    else:
        (folder / LINEAR_FILE).unlink(missing_ok=True)
    for name, write in _WRITERS.items():
        with replacing(folder / name) as path:
            write(result.phonopy, filename=path)
    with ExitStack() as stack:
        paths = [stack.enter_context(replacing(folder / name)) for name in _HEAT_CAPACITY_FILES]
        output.write_heat_capacity_P(result.phonopy, *paths)


def write_axial_qha(result: AxialQhaResult, folder: Path) -> None:
    """Write the files of phonopy-anisotropic-qha: lengths (A), axial coefficients (1/K), volume, free energy (eV).

    ``qha_lattices.yaml`` tells of every lattice that was computed.

    Raises
    ------
    OutputError
        The folder cannot be written.

    """
    write_yaml(folder / LATTICES_FILE, _lattices(result))
    for name, write in _AXIAL_WRITERS.items():
        with replacing(folder / name) as path:
            write(result.phonopy, filename=path)


def write_expansion_tensor(result: ExpansionTensorResult, folder: Path) -> None:
    """Write ``expansion_tensor.yaml``: coefficients in 1/K, heat capacity in eV/K, at each temperature.

    Raises
    ------
    OutputError
        The folder cannot be written.

    """
    columns = {
        "temperature": result.temperatures,
        "expansion": result.expansion,
        "axial_expansion": result.axial_expansion,
        "volumetric_expansion": result.volumetric_expansion,
        "heat_capacity": result.heat_capacity,
        "gruneisen": result.gruneisen,
    }
    rows = zip(*columns.values(), strict=True)
    content = {
        "unit": {"temperature": "K", "expansion": "1/K", "heat_capacity": "eV/K"},
        "per": "primitive cell",
        "share_of_mesh_modes_left_out": result.left_out,
        "unstable_long_waves": result.unstable_waves,
        "unstable_strains": result.unstable_strains,
        "doubtful": list(result.doubts),
        "temperatures": [{name: value.tolist() for name, value in zip(columns, row, strict=True)} for row in rows],
    }
    write_yaml(folder / TENSOR_FILE, content)


def _thermal_file(folder: Path, number: int) -> Path:
    """Return the path of a volume's file; names sort as the numbers do."""
    return folder / f"thermal_properties-{number:02d}.yaml"


def _thermal(result: MlpQhaResult, point: LatticePoint) -> dict[str, Any]:
    units = get_physical_units()
    rows = zip(
        result.all_temperatures,
        point.thermal.free_energy * units.EvTokJmol,
        point.thermal.entropy * units.EvTokJmol * 1000,
        point.thermal.heat_capacity * units.EvTokJmol * 1000,
        strict=True,
    )
    names = ("temperature", "free_energy", "entropy", "heat_capacity")
    return {
        "unit": {"temperature": "K", "free_energy": "kJ/mol", "entropy": "J/K/mol", "heat_capacity": "J/K/mol"},
        "natom": len(point.atoms) // point.crystal.cells,
        "volume": point.volume,
        "thermal_properties": [dict(zip(names, map(float, row), strict=True)) for row in rows],
    }


def _volumes(result: MlpQhaResult) -> dict[str, Any]:
    return {
        "unit": _UNITS | {"energy_gain": "eV"},
        "per": "primitive cell",
        "imaginary": result.imaginary,
        "volumes": [
            {
                **point.describe(),
                "primitive_cells": point.crystal.cells,
                "stabilised": _stabilised(point.stabilisation),
                "used": is_used,
            }
            for point, is_used in zip(result.points, result.used, strict=True)
        ],
    }


def _stabilised(stabilisation: Stabilisation | None) -> dict[str, Any] | None:
    if stabilisation is None:
        return None
    file = None if stabilisation.audit is None else STABILISED_FILE
    return {"rounds": stabilisation.rounds, "energy_gain": stabilisation.energy_gain, "audit_trail": file}


def _audits(result: MlpQhaResult) -> list[dict[str, Any]]:
    return [
        {"volume": point.volume, **point.stabilisation.audit}
        for point in result.points
        if point.stabilisation is not None and point.stabilisation.audit is not None
    ]


def _lattices(result: AxialQhaResult) -> dict[str, Any]:
    return {
        "unit": _UNITS | {"lengths": "angstrom"},
        "per": "primitive cell",
        "lattices": [
            {"lengths": lengths.tolist(), **point.describe()}
            for lengths, point in zip(result.sampled_lengths, result.points, strict=True)
        ],
    }


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text)
