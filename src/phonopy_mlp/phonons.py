"""Bands, density of states and thermal properties from force constants."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
import seekpath
from phonopy import Phonopy
from phonopy.phonon.mesh import Mesh
from phonopy.phonon.spectrum import TetrahedronDOSAccumulator

from phonopy_mlp.arrays import Array, frozen
from phonopy_mlp.errors import SettingsError
from phonopy_mlp.evaluator import Progress, silent

MESH = (11, 11, 11)
PITCH = 0.01
"""Default frequency pitch of the density of states in THz, the paper's."""

DEGENERATE = 1e-4
"""Modes of one q-point closer than this (THz) count as degenerate."""

_GREEK = ("GAMMA", "DELTA", "LAMBDA", "SIGMA")
"""Letters that seekpath spells out."""


@dataclass(frozen=True, slots=True)
class BandStructure:
    """Phonon bands along a path.

    Attributes
    ----------
    distances : tuple of ndarray
        Path length of each segment's q-points in 1/A (without 2 pi). shape of each=(q-points,)
    frequencies : tuple of ndarray
        Frequencies in THz; imaginary ones are negative. shape of each=(q-points, bands)
    qpoints : tuple of ndarray
        In units of the primitive cell's reciprocal vectors. shape of each=(q-points, 3)
    labels : tuple of (str, str)
        Names of each segment's ends, in TeX.

    """

    distances: tuple[Array, ...]
    frequencies: tuple[Array, ...]
    qpoints: tuple[Array, ...]
    labels: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class PhononResult:
    """Phonons of a crystal, per primitive cell.

    Attributes
    ----------
    mesh : tuple of int
        Sampling mesh.
    frequencies : ndarray
        At the irreducible mesh points, in THz; imaginary ones are negative. shape=(q-points, bands)
    weights : ndarray
        Multiplicities of the mesh points; they add up to the mesh's number of points. shape=(q-points,)
    frequency_points : ndarray
        Where the densities of states are given, in THz. shape=(points,)
    total_dos : ndarray
        States per THz and primitive cell. shape=(points,)
    element_dos : dict of str to ndarray
        Density of states projected on all atoms of an element; they add up to `total_dos`. shape of each=(points,)
    element_states : dict of str to ndarray
        Number of states per primitive cell below each of `frequency_points`, projected on the atoms of an element.
        Unlike the densities it counts every mode, also of bands so flat that they pass between two points.
        shape of each=(points,)
    temperatures : ndarray
        In K. shape=(temperatures,)
    free_energy : ndarray
        Vibrational Helmholtz energy in kJ/mol of primitive cells. shape=(temperatures,)
    entropy : ndarray
        In J/K/mol of primitive cells. shape=(temperatures,)
    heat_capacity : ndarray
        At constant volume, in J/K/mol of primitive cells. shape=(temperatures,)
    bands : BandStructure
        Along seekpath's path.

    """

    mesh: tuple[int, ...]
    frequencies: Array
    weights: Array
    frequency_points: Array
    total_dos: Array
    element_dos: dict[str, Array]
    element_states: dict[str, Array]
    temperatures: Array
    free_energy: Array
    entropy: Array
    heat_capacity: Array
    bands: BandStructure


def compute_phonons(
    phonon: Phonopy,
    *,
    mesh: float | Sequence[int] = MESH,
    pitch: float = PITCH,
    frequency_points: Sequence[float] | Array | None = None,
    temperatures: Sequence[float] | Array = tuple(range(0, 1001, 10)),
    cutoff_frequency: float | None = None,
    exclude_gamma_acoustic: bool = True,
    gamma_centred: bool = True,
    band_points: int = 51,
    progress: Progress = silent,
) -> PhononResult:
    """Compute bands, densities of states (linear tetrahedron) and thermal properties.

    Parameters
    ----------
    phonon : Phonopy
        With force constants.
    mesh : sequence of int or float, optional
        Sampling mesh of the Brillouin zone; one number is a length in A, as in phonopy.
    pitch : float, optional
        Frequency pitch of the densities of states in THz; the points then span the spectrum and a tenth more on
        either side.
    frequency_points : sequence of float, optional
        Ascending frequencies in THz at which to give the densities of states, instead of `pitch`.
    temperatures : sequence of float, optional
        In K.
    cutoff_frequency : float, optional
        Modes below it (THz) do not enter the thermal properties. Default: phonopy's, 0, so that imaginary modes
        alone are left out.
    exclude_gamma_acoustic : bool, optional
        Leave the three acoustic modes at Gamma out of the thermal properties. With symmetrised force constants their
        frequencies are rounding, and one at +3e-7 THz adds 0.11 kJ/mol to the free energy at 1000 K.
    gamma_centred : bool, optional
        Whether even meshes hold Gamma. phonopy's own default shifts them by half a step.
    band_points : int, optional
        q-points per segment of the band path.
    progress : Progress, optional
        Shows how far the densities of states have come.

    Raises
    ------
    SettingsError
        Mesh or pitch that is not positive.

    """
    numbers = np.atleast_1d(np.asarray(mesh))
    if numbers.shape not in ((1,), (3,)) or not (np.isfinite(numbers).all() and (numbers > 0).all()):
        raise SettingsError(f"Mesh {mesh}", "it must be three positive integers", "Give for example 11 11 11")
    if not (np.isfinite(pitch) and pitch > 0):
        raise SettingsError(f"Frequency pitch {pitch:g} THz", "it must be positive", "Give for example 0.01")
    phonon.run_mesh(
        numbers if len(numbers) == 3 else float(numbers[0]), is_gamma_center=gamma_centred, with_eigenvectors=True
    )
    sampled = phonon.mesh
    assert isinstance(sampled, Mesh)
    points, by_element, states = _densities_of_states(
        sampled,
        phonon.primitive.symbols,
        _spanning_points(sampled.frequencies, pitch) if frequency_points is None else np.asarray(frequency_points),
        progress,
    )
    thermal = phonon.run_thermal_properties(
        temperatures=np.asarray(temperatures),
        cutoff_frequency=cutoff_frequency,
        exclude_gamma_acoustic=exclude_gamma_acoustic,
    )
    return PhononResult(
        mesh=tuple(int(n) for n in sampled.mesh_numbers),
        frequencies=frozen(sampled.frequencies),
        weights=frozen(sampled.weights),
        frequency_points=frozen(points),
        total_dos=frozen(sum(by_element.values())),
        element_dos={element: frozen(dos) for element, dos in by_element.items()},
        element_states={element: frozen(count) for element, count in states.items()},
        temperatures=frozen(thermal.temperatures),
        free_energy=frozen(thermal.free_energy),
        entropy=frozen(thermal.entropy),
        heat_capacity=frozen(thermal.heat_capacity),
        bands=compute_bands(phonon, band_points),
    )


def _spanning_points(frequencies: Array, pitch: float) -> Array:
    lowest, highest = float(frequencies.min()), float(frequencies.max())
    margin = (highest - lowest) / 10
    return np.arange(lowest - margin, highest + margin + pitch * 0.1, pitch)


def _densities_of_states(
    sampled: Mesh, symbols: Sequence[str], points: Array, progress: Progress
) -> tuple[Array, dict[str, Array], dict[str, Array]]:
    """Return frequency points, element-projected densities and numbers of states, band by band.

    A band contributes only between its own lowest and highest frequency. Going through the bands one by one keeps
    the tetrahedron weights small: all bands at all points at once take gigabytes for MOF-5.
    Summed over the atoms of an element a projection has the crystal's symmetry, so irreducible q-points are enough.

    """
    frequencies = sampled.frequencies
    elements = list(dict.fromkeys(symbols))
    projections = _element_projections(sampled, symbols, elements)
    dos, states = np.zeros((2, len(points), len(elements)))
    shares = np.einsum("q,qbe->be", sampled.weights / sampled.weights.sum(), projections)
    bands = frequencies.shape[1]
    for band in progress(range(bands), bands, "Density of states"):
        inside = slice(
            np.searchsorted(points, frequencies[:, band].min()),
            np.searchsorted(points, frequencies[:, band].max(), side="right"),
        )
        if inside.start < inside.stop:
            accumulated = TetrahedronDOSAccumulator(
                frequencies[:, band : band + 1],
                sampled.bz_grid,
                mode_property=projections[None, :, band : band + 1, :],
                ir_grid_points=sampled.ir_grid_points,
                ir_grid_weights=sampled.weights,
                ir_grid_map=sampled.grid_mapping_table,
                sampling_points=points[inside],
            )
            dos[inside] += accumulated.result.density[0]
            states[inside] += accumulated.result.cumulative[0]
        states[inside.stop :] += shares[band]
    by_element = {element: dos[:, k] for k, element in enumerate(elements)}
    return points, by_element, {element: states[:, k] for k, element in enumerate(elements)}


def _element_projections(sampled: Mesh, symbols: Sequence[str], elements: Sequence[str]) -> Array:
    """Return each mode's weight on each element, shape=(q-points, bands, elements).

    Degenerate modes share theirs evenly: what each has on its own depends on an arbitrary choice of eigenvectors.
    """
    eigenvectors = sampled.eigenvectors
    assert eigenvectors is not None
    points, components, bands = eigenvectors.shape
    on_atoms = (np.abs(eigenvectors.reshape(points, components // 3, 3, bands)) ** 2).sum(axis=2)
    of_element = np.array([[symbol == element for symbol in symbols] for element in elements], dtype=float)
    projections = np.ascontiguousarray(np.einsum("ea,qab->qbe", of_element, on_atoms))
    for frequencies, weights in zip(sampled.frequencies, projections, strict=True):
        for group in np.split(np.arange(bands), np.flatnonzero(np.diff(frequencies) > DEGENERATE) + 1):
            weights[group] = weights[group].mean(axis=0)
    return projections


def compute_bands(phonon: Phonopy, points: int, *, paths: Sequence[Array] | None = None) -> BandStructure:
    """Return bands along a path.

    Parameters
    ----------
    phonon : Phonopy
        With force constants.
    points : int
        q-points per segment.
    paths : sequence of ndarray, optional
        Corners of each connected path, in units of the primitive cell's reciprocal vectors. shape of each=(corners, 3).
        Default: seekpath's path, whatever primitive cell was chosen.

    """
    if paths is None:
        ends, labels = _seekpath(phonon)
    else:
        ends = [segment for corners in paths for segment in pairwise(np.asarray(corners, dtype=float))]
        labels = [(_in_numbers(start), _in_numbers(end)) for start, end in ends]
    follows = [np.array_equal(end, start) for (_, end), (start, _) in pairwise(ends)]
    segments = [np.linspace(start, end, points) for start, end in ends]
    bands = phonon.run_band_structure(segments, path_connections=[*follows, False])
    return BandStructure(
        distances=tuple(frozen(segment) for segment in bands.distances),
        frequencies=tuple(frozen(segment) for segment in bands.frequencies),
        qpoints=tuple(frozen(segment) for segment in bands.qpoints),
        labels=tuple(labels),
    )


def _seekpath(phonon: Phonopy) -> tuple[list[tuple[Array, Array]], list[tuple[str, str]]]:
    """Return ends and labels of each segment."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", seekpath.SupercellWarning)
        found = seekpath.get_path_orig_cell(phonon.primitive.totuple(), symprec=phonon.symmetry.tolerance)
    corners = {name: np.array(point) for name, point in found["point_coords"].items()}
    ends = [(corners[start], corners[end]) for start, end in found["path"]]
    return ends, [(_in_tex(start), _in_tex(end)) for start, end in found["path"]]


def _in_numbers(corner: Array) -> str:
    """Return a q-point as numbers, Gamma by its name."""
    if not corner.any():
        return _in_tex("GAMMA")
    return " ".join(str(Fraction(float(component)).limit_denominator(100)) for component in corner)


def _in_tex(label: str) -> str:
    """Return a name of seekpath, such as GAMMA or SIGMA_0, in TeX."""
    letter, *index = label.split("_")
    name = f"\\{letter.title()}" if letter in _GREEK else letter
    return f"$\\mathrm{{{'_'.join([name, *index])}}}$" if label != "GAMMA" else "$\\Gamma$"
