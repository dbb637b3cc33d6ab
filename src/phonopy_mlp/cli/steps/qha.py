"""Step ``qha``: thermal expansion in the quasi-harmonic approximation."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from phonopy_mlp.cli.arguments import RelaxOptions, read_numbers
from phonopy_mlp.cli.progress import RelaxationBar, bar
from phonopy_mlp.cli.record import RunRecord
from phonopy_mlp.cli.steps.elastic import STRAINED_FREELY
from phonopy_mlp.cli.steps.start import Array, Start, check_relaxation, given_options
from phonopy_mlp.elasticity import run_elasticity
from phonopy_mlp.eos.fit import Eos
from phonopy_mlp.errors import SettingsError
from phonopy_mlp.plot import plot_expansion, write_figure
from phonopy_mlp.qha.axes import check_strains, run_axial_qha
from phonopy_mlp.qha.output import STABILISED_FILE, write_axial_qha, write_expansion_tensor, write_qha
from phonopy_mlp.qha.plot import plot_axial_qha, plot_qha
from phonopy_mlp.qha.point import LatticePoint
from phonopy_mlp.qha.tensor import compute_expansion_tensor
from phonopy_mlp.qha.thermal import check_temperatures
from phonopy_mlp.qha.volumes import (
    MOST_ADDED,
    STRAIN,
    VOLUMES,
    Imaginary,
    MlpQhaResult,
    check_settings,
    run_mlp_qha,
)

TENSOR_FIGURE = "expansion_tensor.png"

TMAX, TSTEP = 300.0, 10.0
"""Default highest temperature and step in K: many a framework has no minimum of F(V) within reach at phonopy's 1000."""

_OVER_VOLUMES = ("strain", "volumes", "added", "form", "imaginary", "seed")
"""Options of the way over volumes alone."""
CAVEATS = ("share_of_mesh_modes_left_out", "unstable_long_waves", "unstable_strains", "doubtful")
"""In the record: of each volume or lattice, in the order of its file, or of the one lattice of a tensor, but doubts of
each strained one."""

_TABLE_ROWS = 7

ROOM_TEMPERATURE = 300.0
"""K, of which the record has what there is, or the temperatures around it."""

Outcome = tuple[dict[str, Array], dict[str, Any]]
"""What a way gives: columns by their names, and what else the record tells of it."""


@dataclass(frozen=True, slots=True)
class QhaStep:
    """How thermal expansion is computed: over volumes, over strains of the lengths if there are any, or as a tensor."""

    strain: float = STRAIN
    volumes: int = VOLUMES
    added: int = MOST_ADDED
    form: Eos = "vinet"
    imaginary: Imaginary = "stop"
    lengths: tuple[float, ...] = ()
    tensor: bool = False
    seed: int = 0

    def check(self, mesh: tuple[int, ...], temperatures: Array, relaxation: RelaxOptions) -> None:
        """Raise `SettingsError` for settings that make no sense."""
        check_settings(self.volumes, self.strain, self.added, self.form, self.imaginary, self.seed)
        check_temperatures(temperatures)
        check_mesh("--qha", mesh)
        if self.lengths:
            check_strains(self.lengths)
        if self.tensor:
            check_relaxation("--qha-tensor", relaxation, STRAINED_FREELY, kept=("cell",))
        else:
            check_relaxation(
                "--qha", relaxation, "it relaxes the crystal again, freely and without pressure, and goes from there"
            )

    def run(self, start: Start, record: RunRecord) -> None:
        """Write the files and figures of phonopy-qha, of phonopy-anisotropic-qha, or ``expansion_tensor``."""
        started = time.perf_counter()
        way = self._over_lengths if self.lengths else self._tensor if self.tensor else self._over_volumes
        with RelaxationBar(start.relaxation.fmax) as show:
            columns, details = way(start, record, show)
        rows = _choose_rows(columns["T (K)"])
        record.say(_table(columns, rows))
        found = {name: values[rows].tolist() for name, values in columns.items()}
        record.add("qha", found | details, time.perf_counter() - started)

    def _over_volumes(self, start: Start, record: RunRecord, show: RelaxationBar) -> Outcome:
        result = run_mlp_qha(
            start.atoms,
            start.calculator,
            volumes=self.volumes,
            strain=self.strain,
            most_added=self.added,
            eos=self.form,
            imaginary=self.imaginary,
            seed=self.seed,
            **_shared(start, record, show),
        )
        write_qha(result, record.folder)
        plot_qha(result, record.folder)
        record.say(_describe_volumes(result))
        columns = {
            "T (K)": result.temperatures,
            "V (A^3)": result.volume,
            "alpha_V (1e-6/K)": 1e6 * result.volumetric_expansion,
            "B (GPa)": result.bulk_modulus,
            "Cp (meV/K)": 1e3 * result.heat_capacity,
            "Grueneisen": result.gruneisen,
        }
        if result.linear_expansion is not None:
            columns["alpha (1e-6/K)"] = 1e6 * result.linear_expansion
        stabilised = any(point.stabilisation is not None for point in result.points)
        details = {"used": list(result.used), "audit_trail": STABILISED_FILE if stabilised else None}
        return columns, _caveats(result.points) | details

    def _over_lengths(self, start: Start, record: RunRecord, show: RelaxationBar) -> Outcome:
        result = run_axial_qha(start.atoms, start.calculator, strains=self.lengths, **_shared(start, record, show))
        write_axial_qha(result, record.folder)
        plot_axial_qha(result, record.folder)
        columns = {
            "T (K)": result.temperatures,
            **{f"{name} (A)": lengths for name, lengths in zip("abc", result.lengths.T, strict=True)},
            **_axial(result.axial_expansion),
            "alpha_V (1e-6/K)": 1e6 * result.volumetric_expansion,
        }
        return columns, _caveats(result.points) | {"unconverged_temperatures": result.unconverged}

    def _tensor(self, start: Start, record: RunRecord, show: RelaxationBar) -> Outcome:
        elastic = run_elasticity(
            start.atoms,
            start.calculator,
            fmax=start.relaxation.fmax,
            max_steps=start.relaxation.max_steps,
            progress=bar,
            unfinished=record.unfinished,
        )
        result = compute_expansion_tensor(
            start.atoms, start.calculator, compliances=elastic.compliance, **_shared(start, record, show)
        )
        write_expansion_tensor(result, record.folder)
        directions = dict(zip("abc", start.atoms.cell.array, strict=True))
        write_figure(plot_expansion(result, start.title, directions), record.folder / TENSOR_FIGURE)
        columns = {
            "T (K)": result.temperatures,
            **_axial(result.axial_expansion),
            "alpha_V (1e-6/K)": 1e6 * result.volumetric_expansion,
        }
        caveats = (result.left_out, result.unstable_waves, result.unstable_strains, list(result.doubts))
        return columns, dict(zip(CAVEATS, caveats, strict=True))


def add_options(group: Any) -> None:
    """Add the options of the step."""
    group.add_argument("--qha", action="store_true", help="thermal expansion: files and figures of phonopy-qha")
    group.add_argument(
        "--qha-strain", type=float, metavar="S", help=f"largest strain of the cell lengths (default: {STRAIN:g})"
    )
    group.add_argument("--qha-volumes", type=int, metavar="N", help=f"number of volumes, odd (default: {VOLUMES})")
    group.add_argument(
        "--qha-added",
        type=int,
        metavar="N",
        help=f"volumes that may be added where F(V) is lowest near the end (default: {MOST_ADDED})",
    )
    group.add_argument("--qha-form", choices=get_args(Eos), help="equation of state of F(V) (default: vinet)")
    group.add_argument(
        "--qha-imaginary", choices=get_args(Imaginary), help="what becomes of a volume with imaginary modes"
    )
    group.add_argument(
        "--qha-seed", type=int, metavar="SEED", help="of random displacements that stabilise a volume (default: 0)"
    )
    group.add_argument(
        "--qha-lengths",
        nargs="+",
        metavar="S",
        help="over these strains of each free length instead: expansion of the axes (cubic to orthorhombic)",
    )
    group.add_argument(
        "--qha-tensor", action="store_true", help="from elastic constants and Grueneisen tensors instead: any crystal"
    )


def read(own: argparse.Namespace, returned: list[str], *, wanted: bool = False) -> QhaStep | None:
    """Return the step's settings, or None where it is not wanted."""
    own.qha_lengths = read_numbers("--qha-lengths", own.qha_lengths, returned)
    given = given_options(own, "--qha", (*_OVER_VOLUMES, "lengths", "tensor"), wanted=wanted or own.qha)
    if given is None:
        return None
    if ("lengths" in given) + ("tensor" in given) + bool(given.keys() & _OVER_VOLUMES) > 1:
        raise SettingsError(
            " and ".join(f"--qha-{name}" for name in given),
            "volumes, lengths and the tensor are each a way of their own to thermal expansion",
            "Choose one",
        )
    if "seed" in given and given.get("imaginary") != "stabilise":
        raise SettingsError(
            "--qha-seed without --qha-imaginary stabilise", "it would have no effect", "Add it, or leave the seed out"
        )
    return QhaStep(**given)


def check_mesh(flag: str, mesh: tuple[int, ...]) -> None:
    """Raise `SettingsError` for a mesh that is not three numbers."""
    if len(mesh) != 3:
        raise SettingsError(
            f"{flag} with a mesh given by a length or a matrix", "it needs a plain one", "Give --mesh N N N"
        )


def _shared(start: Start, record: RunRecord, show: RelaxationBar) -> dict[str, Any]:
    """Return the arguments that all three ways take."""
    return {
        "supercell_matrix": start.supercell_matrix,
        "temperatures": start.temperatures,
        "mesh": start.mesh,
        "fmax": start.relaxation.fmax,
        "max_steps": start.relaxation.max_steps,
        "symprec": start.symprec,
        "progress": bar,
        "on_step": show,
        "unfinished": record.unfinished,
    }


def _caveats(points: Sequence[LatticePoint]) -> dict[str, Any]:
    described = [point.describe() for point in points]
    return {name: [each[name] for each in described] for name in CAVEATS}


def _axial(expansion: Array) -> dict[str, Array]:
    return {f"alpha_{name} (1e-6/K)": 1e6 * values for name, values in zip("abc", expansion.T, strict=True)}


def _describe_volumes(result: MlpQhaResult) -> str:
    volumes = [point.volume for point in result.points]
    left_out = len(result.points) - sum(result.used)
    stabilised = sum(point.stabilisation is not None for point in result.points)
    return (
        f"QHA over {len(volumes)} volumes from {volumes[0]:.3f} to {volumes[-1]:.3f} A^3 per primitive cell, "
        f"{left_out} left out for imaginary modes, {stabilised} stabilised; see qha_volumes.yaml."
    )


def _choose_rows(temperatures: Array) -> Array:
    """Return places of some temperatures from the first to the last, and of those at or around `ROOM_TEMPERATURE`."""
    last = len(temperatures) - 1
    after = int(np.searchsorted(temperatures, ROOM_TEMPERATURE))
    before = after if after <= last and temperatures[after] == ROOM_TEMPERATURE else after - 1
    spread = np.linspace(0, last, _TABLE_ROWS).round().astype(int)
    return np.unique([*spread, *np.clip([before, after], 0, last)])


def _table(columns: dict[str, Array], rows: Array) -> str:
    head = "  ".join(f"{name:>{max(len(name), 10)}}" for name in columns)
    lines = [
        "  ".join(f"{values[k]:{max(len(name), 10)}.3f}" for name, values in columns.items()).rstrip() for k in rows
    ]
    return "\n".join([f"Per primitive cell, at zero pressure:\n{head}", *lines])
