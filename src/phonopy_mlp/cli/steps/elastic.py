"""Step ``elastic``: elastic constants."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from phonopy_mlp.cli.arguments import RelaxOptions
from phonopy_mlp.cli.progress import bar
from phonopy_mlp.cli.record import RunRecord
from phonopy_mlp.cli.steps.phonons import compute
from phonopy_mlp.cli.steps.start import Array, Start, check_relaxation, given_options
from phonopy_mlp.elasticity import ElasticResult, elastic_from_phonons, run_elasticity
from phonopy_mlp.elasticity.stress_strain import STRAIN, check_strain
from phonopy_mlp.errors import SettingsError
from phonopy_mlp.evaluator import calling
from phonopy_mlp.files import write_yaml
from phonopy_mlp.output import ELASTIC_FILE

ElasticMethod = Literal["stress-strain", "long-waves", "both"]

STRAINED_FREELY = (
    "elastic constants are those of a crystal without stress, whose atoms all follow a strain that breaks its symmetry"
)

_UNITS = {"stiffness": "GPa", "density": "g/cm^3"}
_VOIGT = "xx yy zz yz xz xy, engineering shear"


@dataclass(frozen=True, slots=True)
class ElasticStep:
    """How elastic constants are computed."""

    strain: float = STRAIN
    method: ElasticMethod = "stress-strain"

    def check(self, _mesh: tuple[int, ...], _temperatures: Array, relaxation: RelaxOptions) -> None:
        """Raise `SettingsError` for settings that make no sense."""
        check_strain(self.strain)
        # Without strained cells nothing relaxes again.
        kept = ("cell", "fix_symmetry", "fixed") if self.method == "long-waves" else ("cell",)
        check_relaxation("--elastic", relaxation, STRAINED_FREELY, kept=kept)

    def run(self, start: Start, record: RunRecord) -> None:
        """Write ``elastic.yaml``."""
        found = {}
        for method in ("stress-strain", "long-waves"):
            if self.method in (method, "both"):
                started = time.perf_counter()
                result = self._strained(start, record) if method == "stress-strain" else _long_waves(start, record)
                found[method.replace("-", "_")] = result.describe()
                seconds = time.perf_counter() - started
                write_yaml(record.folder / ELASTIC_FILE, {"unit": _UNITS, "voigt_order": _VOIGT, **found})
                record.add(f"elastic_{method.replace('-', '_')}", result.describe(), seconds)
                record.say(_describe(result))

    def _strained(self, start: Start, record: RunRecord) -> ElasticResult:
        return run_elasticity(
            start.atoms,
            start.calculator,
            strain=self.strain,
            fmax=start.relaxation.fmax,
            max_steps=start.relaxation.max_steps,
            progress=bar,
            unfinished=record.unfinished,
        )


def add_options(group: Any) -> None:
    """Add the options of the step."""
    group.add_argument("--elastic", action="store_true", help=f"elastic constants: {ELASTIC_FILE}")
    group.add_argument("--elastic-strain", type=float, metavar="S", help=f"strain (default: {STRAIN:g})")
    group.add_argument(
        "--elastic-method",
        choices=get_args(ElasticMethod),
        help="from stresses of strained cells (default), from force constants by long acoustic waves, or both",
    )


def read(own: argparse.Namespace, *, wanted: bool = False) -> ElasticStep | None:
    """Return the step's settings, or None where it is not wanted."""
    given = given_options(own, "--elastic", ("strain", "method"), wanted=wanted or own.elastic)
    if given is None:
        return None
    if "strain" in given and given.get("method") == "long-waves":
        raise SettingsError(
            "--elastic-strain with --elastic-method long-waves", "no cell is strained", "Leave one of them out"
        )
    return ElasticStep(**given)


def _long_waves(start: Start, record: RunRecord) -> ElasticResult:
    atoms = start.atoms.copy()
    atoms.calc = start.calculator
    with calling(f"the stress of {atoms.get_chemical_formula()}"):
        stress = np.array(atoms.get_stress())
    return elastic_from_phonons(compute(start, record).phonon, stress=stress)


def _describe(result: ElasticResult) -> str:
    rows = "\n".join(
        "  " + " ".join(f"{value:9.3f}" for value in np.round(row, 3) + 0.0) for row in result.standard_stiffness
    )
    head = f"Elastic constants in GPa by {result.method}, standard axes, {result.space_group}:\n{rows}\n"
    if not result.born_stable:
        return f"{head}Not stable: the lowest eigenvalue is {result.eigenvalues[0]:.3f} GPa."
    hill = result.hill
    return (
        f"{head}B = {result.voigt.bulk:.3f} (Voigt), {result.reuss.bulk:.3f} (Reuss), {hill.bulk:.3f} (Hill); "
        f"G = {hill.shear:.3f} GPa (Hill)."
    )
