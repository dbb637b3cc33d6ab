"""One model or several: what they have in common, what they are called, and the means of their results."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.stress import full_3x3_to_voigt_6_stress

from .engine.engine import Results
from .errors import CommitteeError
from .models.loading import LoadedModel


def check_members(members: Sequence[LoadedModel]) -> None:
    """Refuse members whose mean would mean nothing, or that mace would feed with the first one's settings."""
    if not members:
        raise CommitteeError("No model was given", "A committee has at least one member", "Name a model")
    for label, values in (
        ("elements", {member.elements for member in members}),
        ("cutoffs", {member.r_max for member in members}),
        ("heads", {(member.head, member.heads) for member in members}),
        ("levels of theory", {member.card.level_of_theory for member in members if member.card is not None}),
    ):
        if len(values) > 1:
            raise CommitteeError(
                f"The models {', '.join(member.name for member in members)} differ in their {label}",
                "Their mean would mean nothing",
                "Make a committee of models that were trained alike",
            )


def describe_members(members: Sequence[LoadedModel]) -> dict[str, Any]:
    """Describe one model, or a committee: one name and one digest for all of its members."""
    described = [{"name": member.name, "digest": member.digest, **_card_entries(member)} for member in members]
    if len(described) == 1:
        return described[0]
    digests = "\n".join(each["digest"] for each in described)
    return {
        **described[0],
        "name": f"committee of {' and '.join(each['name'] for each in described)}",
        "digest": f"sha256:{hashlib.sha256(digests.encode()).hexdigest()}",
        "members": described,
    }


def combine(members: Sequence[Results], atoms: Atoms) -> dict[str, Any]:
    """Return results by ASE's and mace's names: means over the members, and for a committee what each has."""
    found = {
        "energy": np.array([member.energies.sum() for member in members]),
        "forces": np.array([member.forces for member in members]),
    }
    if atoms.pbc.all():
        found["stress"] = np.array([member.virial for member in members]) / atoms.get_volume()
    mean = {name: values.mean(axis=0) for name, values in found.items()}
    results: dict[str, Any] = {
        **mean,
        "energy": float(mean["energy"]),
        "free_energy": float(mean["energy"]),
        "energies": np.mean([member.energies for member in members], axis=0),
    }
    if "stress" in mean:
        results["stress"] = full_3x3_to_voigt_6_stress(mean["stress"])
    if len(members) > 1:
        for name, values in found.items():
            results[f"{name}_comm"], results[f"{name}_var"] = values, values.var(axis=0)
        results["energy_var"] = float(results["energy_var"])
    return results


def _card_entries(member: LoadedModel) -> dict[str, Any]:
    card = member.card
    if card is None:
        unknown = "unknown: the file has no model card"
        return {"level_of_theory": unknown, "dispersion": unknown, "licence": unknown, "citation": unknown}
    return {
        "level_of_theory": card.level_of_theory,
        "dispersion": f"in the model ({card.level_of_theory})" if card.dispersion_included else None,
        "licence": card.licence,
        "citation": card.citation,
        "title": card.title,
        "notes": card.notes,
    }
