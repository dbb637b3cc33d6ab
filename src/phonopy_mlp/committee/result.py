"""What a committee is found to say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from phonopy_mlp.arrays import Array
from phonopy_mlp.committee.spread import Measure, Spread, measure_of
from phonopy_mlp.health import Health
from phonopy_mlp.phonons import BandStructure
from phonopy_mlp.structures import bare


@dataclass(frozen=True, slots=True)
class Member:
    """One model of a committee, and the crystal at its minimum.

    Attributes
    ----------
    description : mapping
        What the model says of itself, at least its ``name``.
    atoms : Atoms
        Relaxed unit cell; each access gives a fresh copy. A.
    health : Health
        Numerical health of its force constants.
    lowest_frequency : float
        At commensurate q-points, translations left out, in THz; negative where imaginary.

    """

    description: Mapping[str, Any]
    _atoms: Atoms
    health: Health
    lowest_frequency: float

    @property
    def atoms(self) -> Atoms:
        """A copy of the relaxed unit cell."""
        return bare(self._atoms)

    def describe(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "name": self.description["name"],
            "digest": self.description.get("digest"),
            "lowest_frequency": self.lowest_frequency,
            "health": self.health.describe(),
        }


@dataclass(frozen=True, slots=True)
class ExpansionSpread:
    """Quasi-harmonic properties at zero pressure by each member, per primitive cell.

    Attributes
    ----------
    temperatures : ndarray
        In K. shape=(temperatures,)
    volume : Spread
        In A^3. shape=(members, temperatures)
    volumetric_expansion : Spread
        Coefficient in 1/K. shape=(members, temperatures)
    bulk_modulus : Spread
        In GPa. shape=(members, temperatures)

    """

    temperatures: Array
    volume: Spread
    volumetric_expansion: Spread
    bulk_modulus: Spread


@dataclass(frozen=True, slots=True)
class CommitteeResult:
    """What several models say of one crystal, each at its own minimum; everything per primitive cell.

    Attributes
    ----------
    members : tuple of Member
    volume : Spread
        In A^3. shape=(members,)
    qpoints : ndarray
        Commensurate q-points, in units of each member's reciprocal vectors. shape=(q-points, 3)
    frequencies : Spread
        At `qpoints`, in THz, imaginary ones negative, translations NaN: bands ascend in the first member, those of the
        others are matched to them by eigenvector. shape=(members, q-points, bands)
    overlaps : ndarray
        Of the first member's modes with those of each other one, as in `FrequencyComparison`. shape=(members - 1,
        q-points, bands)
    bands : BandStructure
        Of the first member.
    band_frequencies : tuple of Spread
        Along `bands`, matched by eigenvector, in THz, translations 0. shape of each=(members, q-points, bands)
    dos_edges : ndarray
        Ends of the intervals of `dos` in THz. shape=(intervals + 1,)
    dos : Spread
        Mean densities of states in these intervals, in states per THz. shape=(members, intervals)
    temperatures : ndarray
        In K. shape=(temperatures,)
    free_energy, entropy, heat_capacity : Spread
        Vibrational, at each member's own volume, in kJ/mol, J/K/mol and J/K/mol. shape=(members, temperatures)
    bulk_modulus : Spread or None
        Static, by the equation of state, in GPa. shape=(members,)
    expansion : ExpansionSpread or None
        In the quasi-harmonic approximation.

    """

    members: tuple[Member, ...]
    volume: Spread
    qpoints: Array
    frequencies: Spread
    overlaps: Array
    bands: BandStructure
    band_frequencies: tuple[Spread, ...]
    dos_edges: Array
    dos: Spread
    temperatures: Array
    free_energy: Spread
    entropy: Spread
    heat_capacity: Spread
    bulk_modulus: Spread | None
    expansion: ExpansionSpread | None

    @property
    def measure(self) -> Measure:
        """What all spreads are: of two members a difference, of more a standard deviation."""
        return measure_of(len(self.members))

    @property
    def rms_frequency_spread(self) -> float:
        """Root mean square over q-points and modes of the spread of `frequencies`, in THz."""
        return float(np.sqrt(np.nanmean(self.frequencies.size**2)))

    def describe(self) -> dict[str, Any]:
        """Return it as plain data, in the units above, but for bands and densities of states."""
        lattices: dict[str, Any] = {"volume": self.volume.describe()}
        if self.bulk_modulus is not None:
            lattices["bulk_modulus"] = self.bulk_modulus.describe()
        return {
            "spread": self.measure,
            "members": [member.describe() for member in self.members],
            **lattices,
            f"rms_frequency_{self.measure}": self.rms_frequency_spread,
            "frequencies": [
                {
                    "qpoint": q.tolist(),
                    **Spread(self.frequencies.members[:, k, np.isfinite(self.frequencies.members[0, k])]).describe(),
                }
                for k, q in enumerate(self.qpoints)
            ],
        }
