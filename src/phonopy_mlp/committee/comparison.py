"""Members of a committee beside one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from phonopy import Phonopy

from phonopy_mlp.arrays import Array, frozen
from phonopy_mlp.committee.result import CommitteeResult, ExpansionSpread, Member
from phonopy_mlp.committee.spread import Spread
from phonopy_mlp.compare.frequencies import match_modes
from phonopy_mlp.compare.matching import CrystalMatch, match_crystals
from phonopy_mlp.eos import EosResult
from phonopy_mlp.force_constants import ForceConstantsResult
from phonopy_mlp.health import assess_health
from phonopy_mlp.imaginary import compute_commensurate_modes
from phonopy_mlp.phonons import PhononResult, compute_phonons
from phonopy_mlp.qha.volumes import MlpQhaResult
from phonopy_mlp.structures import from_phonopy

DOS_WIDTH = 0.1
"""Width in THz of the intervals over which densities of states are averaged: at the pitch of the densities themselves
each flat band would be a difference of its whole height."""


@dataclass(frozen=True, slots=True)
class Computed:
    """What was computed with one member.

    Attributes
    ----------
    atoms : Atoms
        Relaxed unit cell.
    constants : ForceConstantsResult
        Of that cell.
    description : mapping
        What the model says of itself.
    eos : EosResult or None
        None where it was not asked for.
    expansion : MlpQhaResult or None
        The same.

    """

    atoms: Atoms
    constants: ForceConstantsResult
    description: Mapping[str, Any]
    eos: EosResult | None
    expansion: MlpQhaResult | None

    @property
    def phonon(self) -> Phonopy:
        """Force constants as phonopy's object."""
        return self.constants.phonon


def compare(
    computed: Sequence[Computed], mesh: Sequence[int], temperatures: Sequence[float] | Array, band_points: int
) -> CommitteeResult:
    """Compare members, mode by mode; mesh, temperatures and points of the bands as in `run_committee`."""
    modes = [compute_commensurate_modes(each.phonon) for each in computed]
    qpoints = modes[0].qpoints
    edges = _edges([each.frequencies for each in modes])
    phonons = [
        compute_phonons(
            each.phonon,
            mesh=mesh,
            frequency_points=edges,
            temperatures=temperatures,
            band_points=2 if k else band_points,  # only the first one's path is used
        )
        for k, each in enumerate(computed)
    ]
    first, others = computed[0].phonon, [each.phonon for each in computed[1:]]
    cell = from_phonopy(first.primitive)
    matches = [match_crystals(cell, from_phonopy(other.primitive)) for other in others]
    frequencies, overlaps = _matched(first, others, matches, qpoints)
    bands = phonons[0].bands
    return CommitteeResult(
        members=tuple(
            Member(each.description, each.atoms, assess_health(each.constants, own, each.description), own.lowest)
            for each, own in zip(computed, modes, strict=True)
        ),
        volume=Spread.of([each.phonon.primitive.volume for each in computed]),
        qpoints=qpoints,
        frequencies=frequencies,
        overlaps=overlaps,
        bands=bands,
        band_frequencies=tuple(
            _with_translations(_matched(first, others, matches, segment)[0]) for segment in bands.qpoints
        ),
        dos_edges=phonons[0].frequency_points,
        dos=Spread.of([_mean_density(each) for each in phonons]),
        temperatures=phonons[0].temperatures,
        free_energy=Spread.of([each.free_energy for each in phonons]),
        entropy=Spread.of([each.entropy for each in phonons]),
        heat_capacity=Spread.of([each.heat_capacity for each in phonons]),
        bulk_modulus=_bulk_modulus([each.eos for each in computed]),
        expansion=_expansion([each.expansion for each in computed]),
    )


def _matched(
    first: Phonopy, others: Sequence[Phonopy], matches: Sequence[CrystalMatch], qpoints: Array
) -> tuple[Spread, Array]:
    """Return frequencies of all members in the order of the first one's modes, and the overlaps with these."""
    pairs = [match_modes(first, other, qpoints, match) for other, match in zip(others, matches, strict=True)]
    return Spread.of([pairs[0].a, *(pair.paired for pair in pairs)]), frozen([pair.overlaps for pair in pairs])


def _with_translations(frequencies: Spread) -> Spread:
    """Return frequencies with translations as zeros at their place, for lines from one q-point to the next."""
    known = np.nan_to_num(frequencies.members)
    order = np.broadcast_to(np.argsort(known[0], axis=1, kind="stable"), known.shape)
    return Spread.of(np.take_along_axis(known, order, axis=2))


def _edges(frequencies: Sequence[Array]) -> Array:
    """Return ends of intervals that span all spectra and a tenth more, which modes between the q-points may need."""
    lowest = min(0.0, *(float(np.nanmin(each)) for each in frequencies))
    highest = max(float(np.nanmax(each)) for each in frequencies)
    margin = (highest - lowest) / 10
    first, last = np.floor((lowest - margin) / DOS_WIDTH), np.ceil((highest + margin) / DOS_WIDTH)
    return np.arange(first, last + 1) * DOS_WIDTH


def _mean_density(phonons: PhononResult) -> Array:
    states = np.sum(list(phonons.element_states.values()), axis=0)
    density: Array = np.diff(states) / np.diff(phonons.frequency_points)
    return density


def _bulk_modulus(results: Sequence[EosResult | None]) -> Spread | None:
    found = [result.primitive_fit.bulk_modulus for result in results if result is not None]
    return Spread.of(found) if found else None


def _expansion(results: Sequence[MlpQhaResult | None]) -> ExpansionSpread | None:
    found = [result for result in results if result is not None]
    if not found:
        return None
    return ExpansionSpread(
        temperatures=found[0].temperatures,
        volume=Spread.of([each.volume for each in found]),
        volumetric_expansion=Spread.of([each.volumetric_expansion for each in found]),
        bulk_modulus=Spread.of([each.bulk_modulus for each in found]),
    )
