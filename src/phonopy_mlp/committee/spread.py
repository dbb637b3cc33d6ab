"""A quantity by several models: its mean, and how far they are apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from phonopy_mlp.arrays import Array, frozen

Measure = Literal["difference", "standard_deviation"]


def measure_of(members: int) -> Measure:
    """Return how the spread of so many members is measured."""
    return "difference" if members == 2 else "standard_deviation"


@dataclass(frozen=True, slots=True)
class Spread:
    """A quantity by each member of a committee.

    Attributes
    ----------
    members : ndarray
        Read-only. shape=(members, ...)

    """

    members: Array

    @classmethod
    def of(cls, values: Sequence[Any] | Array) -> Spread:
        """Collect a quantity, one value or array for each member."""
        return cls(frozen(np.asarray(values, dtype=float)))

    @property
    def measure(self) -> Measure:
        """What `size` is: of two members a difference, of more a standard deviation."""
        return measure_of(len(self.members))

    @property
    def mean(self) -> Array:
        """Mean over the members. shape=(...)."""
        return np.asarray(self.members.mean(axis=0))

    @property
    def size(self) -> Array:
        """Second minus first of two members; standard deviation of more (divided by their number less one)."""
        if self.measure == "difference":
            return np.asarray(self.members[1] - self.members[0])
        return np.asarray(self.members.std(axis=0, ddof=1))

    @property
    def lower(self) -> Array:
        """Lower end of an error bar: the lower one of two members, or one standard deviation below the mean."""
        return self.mean - self._half

    @property
    def upper(self) -> Array:
        """Upper end of an error bar."""
        return self.mean + self._half

    @property
    def _half(self) -> Array:
        return np.abs(self.size) / 2 if self.measure == "difference" else self.size

    def describe(self) -> dict[str, Any]:
        """Return mean, difference or standard deviation, and members as plain data."""
        return {"mean": self.mean.tolist(), self.measure: self.size.tolist(), "members": self.members.tolist()}
