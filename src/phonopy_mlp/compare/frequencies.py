"""Frequencies of two crystals, or of one by two calculators, over a common mesh of q-points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
from phonopy import Phonopy
from scipy.optimize import linear_sum_assignment

from phonopy_mlp.arrays import Array, frozen
from phonopy_mlp.compare.deviation import Deviation, deviation
from phonopy_mlp.compare.matching import CrystalMatch, match_crystals
from phonopy_mlp.errors import SettingsError
from phonopy_mlp.imaginary import dynamical_matrices, translations_and_rest
from phonopy_mlp.phonons import DEGENERATE, MESH, BandStructure, compute_bands
from phonopy_mlp.structures import from_phonopy

Pairing = Literal["order", "overlap"]

CUT = 20.0
"""Default frequency (THz) below which deviations are stated besides those of the full range: what is above are
stretching modes of C-C, C=O, C-H and O-H bonds."""

_DIGITS = 9


@dataclass(frozen=True, slots=True)
class FrequencyComparison:
    """Frequencies of A and B at the same q-points, translations at Gamma left out.

    Attributes
    ----------
    mesh : tuple of int
        Gamma-centred mesh of A's reciprocal cell.
    qpoints : ndarray
        Those of the mesh that no symmetry common to A and B makes equal, in units of A's reciprocal vectors.
        shape=(q-points, 3)
    weights : ndarray
        Multiplicities; they add up to the mesh's number of points. shape=(q-points,)
    a : ndarray
        A's frequencies in THz, ascending, imaginary ones negative; at Gamma the last three are NaN.
        shape=(q-points, bands)
    b : ndarray
        B's, in its own ascending order. shape=(q-points, bands)
    partners : ndarray
        For each mode of A which of B at this q-point its eigenvector is most like, all pairs taken together.
        shape=(q-points, bands), dtype=int
    overlaps : ndarray
        What A's mode and those degenerate with it share with its partner and those degenerate with that: the sum of
        all squared overlaps over the number of modes in the smaller set, from 0 to 1. NaN where `a` is.
        shape=(q-points, bands)
    element_weights_a, element_weights_b : dict of str to ndarray
        Share of an element's atoms in each mode of A and of B. shape of each=(q-points, bands)
    cut : float
        THz; see `deviation`.
    match : CrystalMatch
        How A's primitive cell is found in B's.

    """

    mesh: tuple[int, ...]
    qpoints: Array
    weights: Array
    a: Array
    b: Array
    partners: Array
    overlaps: Array
    element_weights_a: dict[str, Array]
    element_weights_b: dict[str, Array]
    cut: float
    match: CrystalMatch

    def paired(self, pairing: Pairing) -> Array:
        """Return B's frequency (THz) for each mode of A, the n-th for the n-th or by eigenvector; as `a` in shape."""
        return self.b if pairing == "order" else np.take_along_axis(self.b, self.partners, axis=1)

    def deviation(self, pairing: Pairing, *, below: float | None = None) -> Deviation | None:
        """Return how far B is from A in THz, over the mesh, or None where no mode is meant.

        Parameters
        ----------
        pairing : str
            ``order`` or ``overlap``.
        below : float, optional
            Leave out modes of A of this frequency (THz) or above.

        """
        meant = np.isfinite(self.a) if below is None else self.a < below
        weights = np.broadcast_to(self.weights[:, None], self.a.shape)
        return deviation((self.paired(pairing) - self.a)[meant], weights[meant])

    @property
    def mean_overlap(self) -> float:
        """Mean of `overlaps` over the mesh."""
        known = np.isfinite(self.overlaps)
        weights = np.broadcast_to(self.weights[:, None], known.shape)
        return float(np.average(self.overlaps[known], weights=weights[known]))

    def describe(self) -> dict[str, Any]:
        """Return deviations, settings and match as plain data."""
        ranges = {"full_range": None, f"below_{self.cut:g}_THz": self.cut}
        deviations = {
            f"by_{pairing}": {
                name: None if (found := self.deviation(pairing, below=below)) is None else found.describe()
                for name, below in ranges.items()
            }
            for pairing in ("order", "overlap")
        }
        return {
            "mesh": list(self.mesh),
            "qpoints": len(self.qpoints),
            **deviations,
            "mean_overlap": round(self.mean_overlap, 6),
            "lowest": [round(float(np.nanmin(each)), 6) for each in (self.a, self.b)],
            "highest": [round(float(np.nanmax(each)), 6) for each in (self.a, self.b)],
            "match": self.match.describe(),
        }


def compare_frequencies(a: Phonopy, b: Phonopy, *, mesh: Sequence[int] = MESH, cut: float = CUT) -> FrequencyComparison:
    """Compare two sets of force constants mode by mode.

    phonopy's dynamical matrices have the phases of the real distances between atoms, so that neither origins nor the
    cells that atoms are said to be in matter; order, basis and orientation are those of `match_crystals`.

    Parameters
    ----------
    a, b : Phonopy
        With force constants. Their primitive cells must match.
    mesh : sequence of int, optional
        Gamma-centred, along A's reciprocal vectors. shape=(3,)
    cut : float, optional
        Frequency in THz for the second set of deviations.

    Raises
    ------
    SettingsError
        A mesh that is not three positive integers or holds translations alone, or a cut that is not positive.
    StructureError
        The primitive cells do not match.

    """
    if len(mesh) != 3 or min(mesh) < 1:
        raise SettingsError(f"Mesh {tuple(mesh)}", "it must be three positive integers", "Give for example 11 11 11")
    if not (np.isfinite(cut) and cut > 0):
        raise SettingsError(f"Cut of {cut:g} THz", "it must be positive", "Give for example 20")
    if len(a.primitive) == 1 and max(mesh) == 1:
        raise SettingsError(
            f"Mesh {tuple(mesh)} of a crystal of one atom per cell",
            "its modes at Gamma are all translations",
            "Give for example 11 11 11",
        )
    match = match_crystals(from_phonopy(a.primitive), from_phonopy(b.primitive))
    qpoints, weights = _irreducible(mesh, _common_rotations(a, b, match))
    modes = match_modes(a, b, qpoints, match)
    return FrequencyComparison(
        mesh=tuple(int(n) for n in mesh),
        qpoints=frozen(qpoints),
        weights=frozen(weights),
        a=modes.a,
        b=modes.b,
        partners=modes.partners,
        overlaps=modes.overlaps,
        element_weights_a=_element_weights(modes.vectors_a, a.primitive.symbols, modes.a.shape),
        element_weights_b=_element_weights(modes.vectors_b, b.primitive.symbols, modes.b.shape),
        cut=float(cut),
        match=match,
    )


@dataclass(frozen=True, slots=True)
class MatchedModes:
    """Modes of A and of B at the same q-points, each with its partner.

    Attributes
    ----------
    a, b : ndarray
        As in `FrequencyComparison`. shape=(q-points, bands)
    partners, overlaps : ndarray
        As in `FrequencyComparison`. shape=(q-points, bands)
    vectors_a, vectors_b : tuple of ndarray
        Eigenvectors as columns, each in its own crystal's frame, without translations at Gamma. shape of
        each=(3 atoms, bands)

    """

    a: Array
    b: Array
    partners: Array
    overlaps: Array
    vectors_a: tuple[Array, ...]
    vectors_b: tuple[Array, ...]

    @property
    def paired(self) -> Array:
        """B's frequency (THz) for each mode of A. shape=(q-points, bands)."""
        return np.take_along_axis(self.b, self.partners, axis=1)


def match_modes(a: Phonopy, b: Phonopy, qpoints: Array, match: CrystalMatch) -> MatchedModes:
    """Pair the modes of two crystals by their eigenvectors, so that the squared overlaps add up to most.

    Eigenvectors of degenerate modes are an arbitrary basis of what they span, so each mode counts with the mean over
    its set: what comes out is that of the spaces.

    Parameters
    ----------
    a, b : Phonopy
        With force constants.
    qpoints : ndarray
        In units of A's reciprocal vectors. shape=(q-points, 3)
    match : CrystalMatch
        Of their primitive cells.

    """
    frequencies_a, vectors_a = _modes(a, qpoints)
    frequencies_b, vectors_b = _modes(b, qpoints @ match.matrix.T)
    partners = np.empty(frequencies_a.shape, dtype=int)
    overlaps = np.full(frequencies_a.shape, np.nan)
    for k, (ours, theirs) in enumerate(zip(vectors_a, vectors_b, strict=True)):
        bands = ours.shape[1]
        squared = np.abs(ours.conj().T @ _in_frame_of_a(theirs, match)) ** 2
        means, shares = _of_sets(squared, frequencies_a[k, :bands], frequencies_b[k, :bands])
        rows, columns = linear_sum_assignment(means, maximize=True)
        partners[k] = np.arange(len(partners[k]))
        partners[k, rows] = columns
        overlaps[k, :bands] = shares[rows, columns]
    return MatchedModes(
        a=frozen(frequencies_a),
        b=frozen(frequencies_b),
        partners=frozen(partners),
        overlaps=frozen(overlaps),
        vectors_a=tuple(vectors_a),
        vectors_b=tuple(vectors_b),
    )


def compare_bands(
    a: Phonopy, b: Phonopy, match: CrystalMatch, *, points: int = 51, paths: Sequence[Array] | None = None
) -> tuple[BandStructure, BandStructure]:
    """Return the bands of A and of B along the same path, both with A's q-points and distances.

    Parameters
    ----------
    a, b : Phonopy
        With force constants.
    match : CrystalMatch
        Of their primitive cells.
    points : int, optional
        q-points per segment.
    paths : sequence of ndarray, optional
        Corners of each connected path, in units of A's reciprocal vectors. shape of each=(corners, 3). Default:
        seekpath's for A.

    """
    bands = compute_bands(a, points, paths=paths)
    theirs = b.run_band_structure([segment @ match.matrix.T for segment in bands.qpoints])
    return bands, BandStructure(
        bands.distances, tuple(frozen(segment) for segment in theirs.frequencies), bands.qpoints, bands.labels
    )


def _common_rotations(a: Phonopy, b: Phonopy, match: CrystalMatch) -> Array:
    """Return rotations of q (columns, in A's units) that change the spectrum of neither. shape=(rotations, 3, 3)."""
    matrix = match.matrix
    back = np.linalg.inv(matrix)
    of_b = {
        tuple(np.rint(back @ operation @ matrix).astype(int).ravel())
        for operation in b.primitive_symmetry.reciprocal_operations
    }
    ours = a.primitive_symmetry.reciprocal_operations
    return np.array([operation for operation in ours if tuple(operation.astype(int).ravel()) in of_b])


def _irreducible(mesh: Sequence[int], rotations: Array) -> tuple[Array, Array]:
    """Return the points of a Gamma-centred mesh, one of each set that rotations make equal, and their numbers."""
    numbers = np.array(mesh)
    steps = np.array(list(product(*map(range, mesh))))
    first = np.arange(len(steps))
    for rotation in rotations:
        turned = steps / numbers @ rotation.T * numbers
        whole = np.rint(turned).astype(int)
        # A rotation that leads off the mesh, as where its numbers differ, makes no two of its points equal.
        if np.allclose(turned, whole):
            first = np.minimum(first, np.ravel_multi_index(tuple((whole % numbers).T), tuple(mesh)))
    chosen, weights = np.unique(first, return_counts=True)
    qpoints = steps[chosen] / numbers
    return qpoints - np.rint(qpoints), weights


def _modes(phonon: Phonopy, qpoints: Array) -> tuple[Array, list[Array]]:
    """Return frequencies in THz, NaN for translations at Gamma, and eigenvectors without these as columns."""
    matrices = dynamical_matrices(phonon, qpoints)
    frequencies = np.full(matrices.shape[:2], np.nan)
    vectors = []
    for k, (q, matrix) in enumerate(zip(qpoints, matrices, strict=True)):
        if np.allclose(q, 0):
            _, rest = translations_and_rest(phonon.primitive.masses)
            values, own = np.linalg.eigh(rest.T @ matrix @ rest)
            own = rest @ own
        else:
            values, own = np.linalg.eigh(matrix)
        frequencies[k, : len(values)] = np.sign(values) * np.sqrt(np.abs(values)) * phonon.unit_conversion_factor
        vectors.append(own)
    return frequencies, vectors


def _of_sets(squared: Array, frequencies_a: Array, frequencies_b: Array) -> tuple[Array, Array]:
    """Return the mean squared overlap of the sets of degenerate modes that two modes are of, and what the sets share.

    Parameters
    ----------
    squared : ndarray
        Squared overlaps of single modes. shape=(bands, bands)
    frequencies_a, frequencies_b : ndarray
        In THz, ascending. shape=(bands,)

    Returns
    -------
    means, shares : ndarray
        The sum of all squared overlaps between the two sets over the number of pairs, and over the number of modes in
        the smaller one. shape of each=(bands, bands)

    """
    (starts_a, numbers_a, sizes_a), (starts_b, numbers_b, sizes_b) = map(_sets, (frequencies_a, frequencies_b))
    sums = np.add.reduceat(np.add.reduceat(squared, starts_a, axis=0), starts_b, axis=1)
    pairs, smaller = np.multiply.outer(sizes_a, sizes_b), np.minimum.outer(sizes_a, sizes_b)
    everywhere = np.ix_(numbers_a, numbers_b)
    # Rounded, for the last digits, which depend on the basis, would decide between sets that share as much.
    return np.round(sums / pairs, _DIGITS)[everywhere], (sums / smaller)[everywhere]


def _sets(frequencies: Array) -> tuple[Array, Array, Array]:
    """Return where each set of degenerate modes starts, which of them each mode is of, and how many are in each."""
    first = np.diff(frequencies, prepend=-np.inf) > DEGENERATE
    numbers = np.cumsum(first) - 1
    return np.flatnonzero(first), numbers, np.bincount(numbers)


def _in_frame_of_a(vectors: Array, match: CrystalMatch) -> Array:
    """Return eigenvectors of B with A's order of atoms and along A's axes. shape=(3 atoms, bands)."""
    atoms = vectors.reshape(len(match.permutation), 3, vectors.shape[1])[match.permutation]
    return np.asarray(np.einsum("xy,ayb->axb", match.rotation, atoms).reshape(vectors.shape))


def _element_weights(vectors: Sequence[Array], symbols: Sequence[str], shape: tuple[int, ...]) -> dict[str, Array]:
    names = np.array(symbols)
    weights = {str(element): np.zeros(shape) for element in dict.fromkeys(symbols)}
    for k, own in enumerate(vectors):
        on_atoms = (np.abs(own.reshape(len(names), 3, own.shape[1])) ** 2).sum(axis=1)
        for element, share in weights.items():
            share[k, : on_atoms.shape[1]] = on_atoms[names == element].sum(axis=0)
    return {element: frozen(share) for element, share in weights.items()}
