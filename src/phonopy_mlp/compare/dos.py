"""Two densities of states, known from files alone, compared as far up as such files can be trusted.

A linear tetrahedron file gives the density at points a pitch apart. A band flatter than the pitch falls between two of
them, or on one that counts it several times over: the integrals of the published files of MOF-5 are 263 to 339, of 318
modes. What is cumulated below the first such band is right, and no more.

"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from phonopy_mlp.arrays import Array, frozen
from phonopy_mlp.compare.deviation import Deviation, deviation
from phonopy_mlp.errors import SettingsError, StructureError, StructureWarning
from phonopy_mlp.structures import check_exists

WHOLE = 0.25
"""In a gap the cumulated states are a whole number; a file that is further from one has lost or invented states."""

SAME = 0.5
"""In a gap that both files have, their cumulated states may differ by less than this."""

LOST = 1.5
"""Files whose integrals differ by a larger factor are warned of: bands too flat for the pitch can do that, too."""

_GAP_POINTS = 5
_EMPTY = 1e-8
_LEVELS = 20


@dataclass(frozen=True, slots=True)
class TotalDos:
    """A density of states as phonopy writes it into ``total_dos.dat``.

    Attributes
    ----------
    frequencies : ndarray
        Ascending, a pitch apart, in THz. shape=(points,)
    density : ndarray
        States per THz and primitive cell. shape=(points,)

    """

    frequencies: Array
    density: Array

    @property
    def cumulated(self) -> Array:
        """States up to and with each point, by the rectangle rule. shape=(points,)."""
        return np.cumsum(self.density * np.gradient(self.frequencies))

    def mode_frequencies(self, count: int) -> Array:
        """Return the frequencies (THz) of the lowest modes, as the states have them that follow one another.

        The n-th is the mean frequency between n - 1 and n cumulated states: where they reach n - 1/2, but for bands
        that are cut by whole numbers. shape=(count,)
        """
        levels = np.arange(count)[:, None] + (np.arange(_LEVELS) + 0.5) / _LEVELS
        return np.asarray(np.interp(levels, self.cumulated, self.frequencies).mean(axis=1))

    def gaps(self) -> Iterator[tuple[float, float, float]]:
        """Yield start and end (THz) of each gap between occupied frequencies, with the states below it."""
        empty = np.concatenate([[False], self.density < _EMPTY, [False]])
        starts, ends = np.flatnonzero(np.diff(empty.astype(int))).reshape(-1, 2).T
        cumulated = self.cumulated
        for start, end in zip(starts, ends, strict=True):
            if end - start >= _GAP_POINTS:
                yield float(self.frequencies[start]), float(self.frequencies[end - 1]), float(cumulated[start])


@dataclass(frozen=True, slots=True)
class DosComparison:
    """The lowest modes of two densities of states.

    Attributes
    ----------
    a, b : ndarray
        Frequencies in THz of the modes that begin below the cut in A. shape=(modes,)
    cut : float
        In THz.
    trusted : float
        In THz; see `trusted_frequency`.
    integrals : (float, float)
        States of the whole files. Whole multiples of 3 if nothing were lost.

    """

    a: Array
    b: Array
    cut: float
    trusted: float
    integrals: tuple[float, float]

    def deviation(self) -> Deviation | None:
        """Return how far B's modes are from A's in THz."""
        return deviation(self.b - self.a)

    def describe(self) -> dict[str, Any]:
        """Return the comparison as plain data."""
        found = self.deviation()
        return {
            "cut": round(self.cut, 6),
            "trusted_up_to": round(self.trusted, 6),
            "integrals": [round(each, 3) for each in self.integrals],
            "cumulative": None if found is None else found.describe(),
        }


def read_total_dos(path: Path) -> TotalDos:
    """Read ``total_dos.dat``: frequency in THz and states per THz and primitive cell.

    Raises
    ------
    StructureError
        The file is missing, or holds something else.

    """
    check_exists(path)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="loadtxt: input contained no data")
            table = np.loadtxt(path, ndmin=2)
    except (ValueError, OSError, UnicodeDecodeError) as error:
        raise _no_dos(path, str(error).splitlines()[0]) from error
    if not table.size:
        raise _no_dos(path, "it holds no numbers")
    if table.shape[1:] != (2,) or len(table) < 2:
        raise _no_dos(path, f"it has {table.shape[-1]} columns and {len(table)} rows")
    pitches = np.diff(table[:, 0])
    if not (np.isfinite(table).all() and pitches.min() > 0 and np.allclose(pitches, pitches.mean(), rtol=1e-3)):
        raise _no_dos(path, "its frequencies do not ascend in equal steps")
    if table[:, 1].max() <= 0:
        raise _no_dos(path, "it holds no states")
    return TotalDos(frozen(table[:, 0]), frozen(table[:, 1]))


def trusted_frequency(a: TotalDos, b: TotalDos) -> float:
    """Return the frequency in THz up to which two files may have all their states, as far as the files can tell.

    It is the end of the last gap before the first that gives a file away: where its cumulated states are not whole
    (`WHOLE`), or where both files have a gap and do not agree on the states below it (`SAME`).
    """
    gaps_a, gaps_b = list(a.gaps()), list(b.gaps())
    bad = [start for start, _, states in gaps_a + gaps_b if abs(states - round(states)) > WHOLE]
    for start_a, end_a, states_a in gaps_a:
        for start_b, end_b, states_b in gaps_b:
            start = max(start_a, start_b)
            if start < min(end_a, end_b) and abs(states_a - states_b) > SAME:
                bad.append(start)
    if not bad:
        return float(min(a.frequencies[-1], b.frequencies[-1]))
    return max((end for _, end, _ in gaps_a + gaps_b if end <= min(bad)), default=float(a.frequencies[0]))


def compare_total_dos(a: TotalDos, b: TotalDos, *, cut: float | None = None) -> DosComparison:
    """Compare the lowest modes of two densities of states.

    Parameters
    ----------
    a, b : TotalDos
        Per primitive cells of as many atoms.
    cut : float, optional
        Modes that begin below this frequency (THz) in A. Default: as far as `trusted_frequency` reaches.

    Raises
    ------
    SettingsError
        A cut that is not positive, below all modes, or beyond what the files can be trusted for; or files that do not
        agree on the lowest modes already.

    Warns
    -----
    StructureWarning
        The integrals differ by more than `LOST`; the cells may not be of as many atoms, which no file tells.

    """
    trusted = trusted_frequency(a, b)
    chosen = trusted if cut is None else cut
    if cut is not None and not (np.isfinite(cut) and cut > 0):
        raise SettingsError(f"Cut of {cut:g} THz", "it must be positive", "Give for example 5")
    integrals = (float(a.cumulated[-1]), float(b.cumulated[-1]))
    if max(integrals) > LOST * min(integrals):
        warnings.warn(
            f"The two files hold {integrals[0]:.1f} and {integrals[1]:.1f} states in all. Either bands flatter than "
            "the pitch are lost or counted several times, or the cells are not of as many atoms, and then this means "
            "nothing: compare force constants, or files per the same cell.",
            StructureWarning,
            stacklevel=2,
        )
    count = int(np.ceil(np.interp(chosen, a.frequencies, a.cumulated) - WHOLE))
    if chosen > trusted or (cut is None and count < 1):
        raise SettingsError(
            f"A comparison up to {chosen:g} THz of two densities of states" if cut else "A comparison of the two files",
            f"above {trusted:.2f} THz they do not hold whole numbers of modes, or not the same ones (they hold "
            f"{integrals[0]:.1f} and {integrals[1]:.1f} states in all): bands flatter than the pitch are lost or "
            "counted twice, or the cells are not of as many atoms",
            "Compare force constants, or choose a lower cut" if cut else "Compare force constants of the same crystal",
        )
    if count < 1:
        raise SettingsError(
            f"A comparison up to {chosen:g} THz of two densities of states",
            "no mode of A begins below that",
            "Choose a higher cut",
        )
    return DosComparison(
        a=frozen(a.mode_frequencies(count)),
        b=frozen(b.mode_frequencies(count)),
        cut=float(chosen),
        trusted=trusted,
        integrals=integrals,
    )


def _no_dos(path: Path, reason: str) -> StructureError:
    return StructureError(
        f"'{path}' is no density of states", reason, "Give a total_dos.dat of phonopy: frequency and states"
    )
