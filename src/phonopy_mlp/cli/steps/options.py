"""The options of all steps, for a run that may take several."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from phonopy_mlp.cli.arguments import RelaxOptions
from phonopy_mlp.cli.steps import committee, elastic, eos, qha, sscha, stabilise
from phonopy_mlp.cli.steps.start import Step


def add_step_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every step, a group for each."""
    for title, module in (
        ("imaginary modes", stabilise),
        ("equation of state", eos),
        ("elastic constants", elastic),
        ("thermal expansion", qha),
        ("self-consistent phonons", sscha),
        ("several models", committee),
    ):
        group: Any = parser.add_argument_group(title)
        module.add_options(group)


def read_steps(own: argparse.Namespace, returned: list[str]) -> tuple[Step, ...]:
    """Return the steps that are wanted after the phonons, in the order in which they are done."""
    found = (
        eos.read(own),
        elastic.read(own),
        qha.read(own, returned),
        sscha.read(own, returned),
        committee.read(own),
    )
    return tuple(step for step in found if step is not None)


def read_stabilisation(
    own: argparse.Namespace, relaxation: RelaxOptions, symmetrise: float | None
) -> stabilise.StabiliseStep | None:
    """Return how the crystal is stabilised before its phonons; None where it is not wanted."""
    step = stabilise.read(own, relaxation)
    return None if step is None else replace(step, symmetrise=symmetrise)
