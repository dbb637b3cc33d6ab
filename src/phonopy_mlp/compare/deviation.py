"""What is said of differences: root mean square, mean, and largest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from phonopy_mlp.arrays import Array


@dataclass(frozen=True, slots=True)
class Deviation:
    """Size of some differences, in their own unit.

    Attributes
    ----------
    rmsd : float
        Root mean square.
    mae : float
        Mean of the absolute values.
    largest : float
        The one of largest absolute value, with its sign: B minus A.
    count : int
        Number of differences.

    """

    rmsd: float
    mae: float
    largest: float
    count: int

    def describe(self, digits: int = 6) -> dict[str, Any]:
        """Return them as plain data."""
        return {
            "rmsd": round(self.rmsd, digits),
            "mae": round(self.mae, digits),
            "largest": round(self.largest, digits),
            "count": self.count,
        }


def deviation(differences: Array, weights: Array | None = None) -> Deviation | None:
    """Return the size of differences, or None where there are none.

    Parameters
    ----------
    differences : ndarray
        B minus A, of any shape.
    weights : ndarray, optional
        How often each of them counts. Same shape.

    """
    flat = np.ravel(differences)
    if not len(flat):
        return None
    shares = np.ones(len(flat)) if weights is None else np.ravel(weights)
    return Deviation(
        rmsd=float(np.sqrt(np.average(flat**2, weights=shares))),
        mae=float(np.average(np.abs(flat), weights=shares)),
        largest=float(flat[np.abs(flat).argmax()]),
        count=len(flat),
    )
