"""Phonons, bulk modulus and expansion of one crystal by several models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from phonopy import Phonopy

from phonopy_mlp.arrays import Array, frozen
from phonopy_mlp.committee.spread import Measure, Spread, measure_of
from phonopy_mlp.compare.frequencies import match_modes
from phonopy_mlp.compare.matching import CrystalMatch, match_crystals
from phonopy_mlp.eos import EosResult, run_eos
from phonopy_mlp.errors import PhonopyMlpError, SettingsError
from phonopy_mlp.evaluator import Progress, silent
from phonopy_mlp.force_constants import ForceConstantsResult, compute_force_constants, make_phonopy
from phonopy_mlp.health import Health, assess_health
from phonopy_mlp.imaginary import compute_commensurate_modes
from phonopy_mlp.phonons import MESH, BandStructure, PhononResult, compute_phonons
from phonopy_mlp.protocols import SupportsMembers
from phonopy_mlp.qha.volumes import MlpQhaResult, run_mlp_qha
from phonopy_mlp.registry import describe
from phonopy_mlp.relax import FMAX, relax
from phonopy_mlp.structures import bare, from_phonopy
from phonopy_mlp.symmetry import TIGHT
from phonopy_mlp.unfinished import Unfinished

DOS_WIDTH = 0.1
"""Width in THz of the intervals over which densities of states are averaged: at the pitch of the densities themselves
each flat band would be a difference of its whole height."""


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
        Squared overlap of each other member's eigenvectors with those of the first. shape=(members - 1, q-points,
        bands)
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


def run_committee(
    atoms: Atoms,
    calculators: Sequence[BaseCalculator],
    *,
    supercell_matrix: Array,
    mesh: Sequence[int] = MESH,
    temperatures: Sequence[float] | Array = tuple(range(0, 310, 10)),
    eos: bool = False,
    qha: bool = False,
    fmax: float = FMAX,
    symprec: float = TIGHT,
    band_points: int = 51,
    progress: Progress = silent,
    unfinished: Sequence[Unfinished] | None = None,
) -> CommitteeResult:
    """Relax a crystal with each of several models, and compare their phonons.

    Every member has its own minimum, and its force constants are those of that minimum. Modes of the others are matched
    to the first one's by their eigenvectors, so that bands that cross in one of them are not taken for one another.

    Parameters
    ----------
    atoms : Atoms
        Crystal to start from; not changed.
    calculators : sequence of BaseCalculator
        Two or more. One that is a committee itself (`protocols.SupportsMembers`) counts as its members.
    supercell_matrix : ndarray
        Of `atoms`, as phonopy's ``--dim``. shape=(3, 3)
    mesh : sequence of int, optional
        Gamma-centred sampling mesh. shape=(3,)
    temperatures : sequence of float, optional
        Ascending, in K.
    eos, qha : bool, optional
        Also compute the static bulk modulus, and thermal expansion, with the default settings of each.
    fmax : float, optional
        Goal of the relaxations in eV/A.
    symprec : float, optional
        Tolerance in A at which symmetry is read.
    band_points : int, optional
        q-points per segment of the band path.
    progress : Progress, optional
        Shows how far the work has come.
    unfinished : sequence of Unfinished, optional
        Keeps what is finished, a folder for each of `calculators`' members.

    Raises
    ------
    SettingsError
        There are fewer than two members, or mesh or temperatures make no sense.
    ConvergenceError, StructureError, CalculatorError, ImaginaryModesError
        What a member's calculation raises, with its name; or two members' crystals are not the same.

    """
    members = expand(calculators)
    if len(members) < 2:
        raise SettingsError("A committee of one model", "it has no spread", "Name another model, or several")
    keeps: Sequence[Unfinished | None] = unfinished if unfinished is not None else [None] * len(members)
    computed: list[_Computed] = []
    for calculator, keep in zip(members, keeps, strict=True):
        options: dict[str, Any] = {"progress": progress, "unfinished": keep}
        with _named(str(describe(calculator)["name"])):
            relaxed = relax(atoms, calculator, fmax=fmax, unfinished=keep).atoms
            primitive = computed[0].phonon.primitive_matrix if computed else "auto"
            phonon = make_phonopy(relaxed, supercell_matrix, primitive_matrix=primitive, symprec=symprec)
            computed.append(
                _Computed(
                    relaxed,
                    compute_force_constants(phonon, calculator, **options),
                    describe(calculator),
                    run_eos(relaxed, calculator, fmax=fmax, **options) if eos else None,
                    run_mlp_qha(
                        relaxed,
                        calculator,
                        supercell_matrix=supercell_matrix,
                        temperatures=temperatures,
                        mesh=mesh,
                        fmax=fmax,
                        symprec=symprec,
                        **options,
                    )
                    if qha
                    else None,
                )
            )
    return _compare(computed, mesh, temperatures, band_points)


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Put which member it was before the message of an error."""
    try:
        yield
    except PhonopyMlpError as error:
        raise type(error)(f"{name}: {error.what}", error.why, error.remedy) from error


def expand(calculators: Sequence[BaseCalculator]) -> tuple[BaseCalculator, ...]:
    """Return calculators, the members of a committee in its place."""
    return tuple(
        member
        for calculator in calculators
        for member in (calculator.make_members() if isinstance(calculator, SupportsMembers) else (calculator,))
    )


@dataclass(frozen=True, slots=True)
class _Computed:
    atoms: Atoms
    constants: ForceConstantsResult
    description: Mapping[str, Any]
    eos: EosResult | None
    expansion: MlpQhaResult | None

    @property
    def phonon(self) -> Phonopy:
        return self.constants.phonon


def _compare(
    computed: Sequence[_Computed], mesh: Sequence[int], temperatures: Sequence[float] | Array, band_points: int
) -> CommitteeResult:
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
