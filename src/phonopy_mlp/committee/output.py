"""Files of a committee: every number with its difference or standard deviation, by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from phonopy_mlp.committee.result import CommitteeResult
from phonopy_mlp.committee.spread import Spread
from phonopy_mlp.files import replacing, write_yaml

COMMITTEE_FILE, EXPANSION_FILE = "committee.yaml", "committee_expansion.dat"

Array = np.ndarray[Any, Any]


def write_committee(result: CommitteeResult, folder: Path) -> tuple[str, ...]:
    """Write ``committee.yaml`` and tables of bands, densities of states, thermal properties and expansion.

    Parameters
    ----------
    result : CommitteeResult
    folder : Path
        Where to.

    Returns
    -------
    tuple of str
        Names of the files.

    Raises
    ------
    OutputError
        The folder cannot be written.

    """
    units = {"volume": "angstrom^3", "frequency": "THz", "bulk_modulus": "GPa", "qpoint": "reciprocal vectors"}
    write_yaml(folder / COMMITTEE_FILE, {"unit": units, "per": "primitive cell", **result.describe()})
    for name, (head, columns) in _tables(result).items():
        _write_table(folder / name, head, columns)
    return (COMMITTEE_FILE, *_tables(result))


def _tables(result: CommitteeResult) -> dict[str, tuple[str, Mapping[str, Array]]]:
    names = [str(member.description["name"]) for member in result.members]
    found: dict[str, tuple[str, Mapping[str, Array]]] = {
        "committee_bands.dat": ("a row for each q-point and band, in THz", _bands(result, names)),
        "committee_dos.dat": (
            "mean densities between frequencies, in states per THz and primitive cell",
            {"from_THz": result.dos_edges[:-1], "to_THz": result.dos_edges[1:], **_columns("dos", result.dos, names)},
        ),
        "committee_thermal.dat": (
            "vibrational, per mol of primitive cells",
            {
                "T_K": result.temperatures,
                **_columns("F_kJ/mol", result.free_energy, names),
                **_columns("S_J/K/mol", result.entropy, names),
                **_columns("Cv_J/K/mol", result.heat_capacity, names),
            },
        ),
    }
    expansion = result.expansion
    if expansion is not None:
        found[EXPANSION_FILE] = (
            "quasi-harmonic, per primitive cell, at zero pressure",
            {
                "T_K": expansion.temperatures,
                **_columns("V_A^3", expansion.volume, names),
                **_columns("alpha_V_1/K", expansion.volumetric_expansion, names),
                **_columns("B_GPa", expansion.bulk_modulus, names),
            },
        )
    return found


def _bands(result: CommitteeResult, names: list[str]) -> dict[str, Array]:
    frequencies = Spread.of(np.concatenate([segment.members for segment in result.band_frequencies], axis=1))
    count = frequencies.members.shape[2]
    by_row = Spread.of(frequencies.members.reshape(len(names), -1))
    qpoints = np.concatenate(result.bands.qpoints)
    return {
        "distance_1/A": np.repeat(np.concatenate(result.bands.distances), count),
        **{name: np.repeat(qpoints[:, k], count) for k, name in enumerate(("qx", "qy", "qz"))},
        "band": np.tile(np.arange(1, count + 1), len(qpoints)),
        **_columns("frequency", by_row, names),
    }


def _columns(quantity: str, spread: Spread, names: list[str]) -> dict[str, Array]:
    members = {
        f"{quantity}:{k}:{name}": own for k, (name, own) in enumerate(zip(names, spread.members, strict=True), 1)
    }
    return {f"{quantity}:mean": spread.mean, f"{quantity}:{spread.measure}": spread.size, **members}


def _write_table(path: Path, head: str, columns: Mapping[str, Array]) -> None:
    names = [re.sub(r"\s", "_", name) for name in columns]
    rows = "".join(" ".join(f"{value:.7g}" for value in row) + "\n" for row in zip(*columns.values(), strict=True))
    with replacing(path) as temporary:
        temporary.write_text(f"# {head}\n# {' '.join(names)}\n{rows}", encoding="utf-8")
