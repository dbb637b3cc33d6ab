"""Removal of an imaginary mode by following it downhill."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
from ase import Atoms
from scipy.optimize import minimize_scalar

from phonopy_mlp.evaluator import calling
from phonopy_mlp.imaginary import ImaginaryMode
from phonopy_mlp.stability.cells import find_order, find_periodic_cell, make_pattern
from phonopy_mlp.stability.long_waves import strain_along
from phonopy_mlp.stability.proposals import Problem, Proposal, check_size, find_images
from phonopy_mlp.stability.strains import strain_by
from phonopy_mlp.structures import bare

Array = np.ndarray[Any, Any]

Line = Callable[[float], Atoms]
"""Structure at an amplitude."""

_FARTHEST = 10.0
_LARGEST_STRAIN = 0.5
"""Of either sign: strained by -1, a cell has no volume."""

_SMALLEST = 0.005
_PRECISION = 1e-2
_COMPLEX_PHASES = 4


@dataclass(frozen=True, slots=True)
class Follow:
    """Displace along a mode's eigenvector to the lowest energy, in the smallest supercell that the mode repeats in.

    Each unstable mode is tried, the lowest first, one of each set of symmetry-equivalent q-points, with every phase of
    `distinct_phases`; what is proposed is the lowest point of all these lines. Then, if the cell may change its shape,
    each unstable long wave is followed by what it is in its limit, a homogeneous strain, and at last each unstable
    eigenstrain of the elastic tensor. Where the volume is to stay, only what keeps it is followed.

    Attributes
    ----------
    largest : float
        Displacement of the atom that moves most, in A, up to which a line is searched.
    largest_strain : float
        The same for a strain.

    Raises
    ------
    SettingsError
        One of them is not positive, `largest` exceeds 10 A, or `largest_strain` exceeds 0.5.

    """

    largest: float = 1.0
    largest_strain: float = 0.2
    name = "follow"

    def __post_init__(self) -> None:
        check_size("Following a mode up to a displacement", self.largest, "A", most=_FARTHEST, example="1")
        check_size("Following up to a strain", self.largest_strain, "", most=_LARGEST_STRAIN, example="0.2")

    def propose(self, problem: Problem) -> Iterator[Proposal]:
        """Yield the lowest point along each mode and each strain."""
        operations = problem.check.force_constants.phonon.primitive_symmetry.reciprocal_operations
        modes = one_of_each_star(problem.check.unstable_modes, operations)
        for mode in problem.progress(modes, len(modes), "Modes followed"):
            rows = find_periodic_cell(mode.qpoint, problem.atoms.cell.array)
            lines = [_along_mode(problem, mode, rows, phase) for phase in distinct_phases(mode.qpoint)]
            found = _lowest_point(problem, lines, self.largest, "A")
            yield Proposal(found.atoms, rows, mode, amplitude=found.amplitude, refusal=found.refusal)
        if problem.cell == "fixed":
            return
        rows = np.eye(3, dtype=int)
        for wave in problem.check.unstable_waves:
            found = _lowest_point(problem, _along_strain(problem, strain_along, wave), self.largest_strain, "strain")
            yield Proposal(found.atoms, rows, wave=wave, amplitude=found.amplitude, refusal=found.refusal)
        check = problem.check
        for strain in check.unstable_strains if problem.cell == "free" else check.unstable_isochoric_strains:
            found = _lowest_point(problem, _along_strain(problem, strain_by, strain), self.largest_strain, "strain")
            yield Proposal(found.atoms, rows, strain=strain, amplitude=found.amplitude, refusal=found.refusal)


@dataclass(frozen=True, slots=True)
class _Point:
    atoms: Atoms | None
    amplitude: float | None
    refusal: str = ""


def _along_mode(problem: Problem, mode: ImaginaryMode, rows: Array, phase: float) -> Line:
    supercell, pattern = make_pattern(problem.atoms, mode, rows, phase)
    pattern[find_images(problem.fixed, problem.atoms, supercell)] = 0.0

    def displaced(amplitude: float) -> Atoms:
        moved = bare(supercell)
        moved.positions += amplitude * pattern
        return moved

    return displaced


def _along_strain(problem: Problem, deform: Callable[[Atoms, Any, float], Atoms], strain: Any) -> list[Line]:
    """Return the lines of both signs; at constant volume that part of each which keeps it."""

    def deformed(sign: int, amplitude: float) -> Atoms:
        moved = deform(problem.atoms, strain, sign * amplitude)
        if problem.cell == "constant-volume":
            factor = np.cbrt(problem.atoms.get_volume() / moved.get_volume())
            moved.set_cell(moved.cell.array * factor, scale_atoms=True)
        return moved

    return [partial(deformed, sign) for sign in (1, -1)]


def _lowest_point(problem: Problem, lines: Sequence[Line], largest: float, unit: str) -> _Point:
    points = []
    for line in lines:

        def energy(amplitude: float, line: Line = line) -> float:
            moved = line(amplitude)
            with calling(f"a displacement of {amplitude:.3g} along a mode of {moved.get_chemical_formula()}"):
                found = float(problem.calculator.get_property("energy", moved) + problem.pressure * moved.get_volume())
            # Where a potential knows no energy the line ends as at a wall.
            return found if np.isfinite(found) else np.inf

        found = search_line(energy, largest=largest, noise=problem.energy_noise * len(line(0.0)))
        if found is not None:
            points.append((found[1], _Point(line(found[0]), found[0])))
    if not points:
        return _Point(None, None, f"no lower energy along it up to {largest:g} {unit}")
    return min(points, key=lambda point: point[0])[1]


def search_line(energy: Callable[[float], float], *, largest: float, noise: float) -> tuple[float, float] | None:
    """Return amplitude (A) and energy (eV) of the first minimum along a line that starts at a maximum.

    Amplitudes from 0.005 A are doubled until the energy rises again, and the minimum in between is refined to 1 %
    by Brent's method. An energy that falls as far as `largest` gives the last amplitude; one that never falls by more
    than `noise` (eV) gives None.
    """
    known: Callable[[float], float] = cache(energy)
    amplitudes = [0.0]
    smallest = min(_SMALLEST, largest)
    for k in range(int(np.log2(largest / smallest)) + 1):
        amplitudes.append(smallest * 2**k)
        values = [known(each) for each in amplitudes]
        if min(values) < values[0] - noise and values[-1] > min(values):
            break
    lowest = int(np.argmin(values))
    if values[lowest] >= values[0] - noise:
        return None
    if lowest == len(values) - 1:
        return amplitudes[lowest], values[lowest]
    bracket = (amplitudes[lowest - 1], amplitudes[lowest], amplitudes[lowest + 1])
    refined = minimize_scalar(known, bracket=bracket, method="brent", options={"xtol": _PRECISION})
    return float(refined.x), float(refined.fun)


def distinct_phases(qpoint: Array) -> tuple[float, ...]:
    """Return phases in radians that give patterns which no lattice vector makes of each other.

    A lattice vector multiplies the pattern by exp(2 pi i k/n), n = `find_order`. At Gamma (n = 1) the two signs are
    distinct. Where n = 2 the pattern is real as well, and its other sign is the same crystal shifted. Elsewhere every
    phase up to 2 pi/n is another pattern; to lowest order the energy goes as the cosine of n times the phase, and four
    phases come within an eighth of a period of its minimum.
    """
    order = find_order(qpoint)
    if order == 1:
        return (0.0, np.pi)
    if order == 2:
        return (0.0,)
    return tuple(2 * np.pi / order * k / _COMPLEX_PHASES for k in range(_COMPLEX_PHASES))


def one_of_each_star(modes: Sequence[ImaginaryMode], operations: Array) -> list[ImaginaryMode]:
    """Return the modes of one q-point out of each set that the operations (shape=(operations, 3, 3)) connect."""
    stars: dict[tuple[int, ...], Array] = {}
    found = []
    for mode in modes:
        order = find_order(mode.qpoint)
        images = np.rint(operations @ mode.qpoint * order).astype(int) % order
        star = (order, *min(map(tuple, images.tolist())))
        if np.array_equal(stars.setdefault(star, mode.qpoint), mode.qpoint):
            found.append(mode)
    return found
