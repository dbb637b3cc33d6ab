"""What a structure must be to be chosen, and what is asked where nothing is said."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...errors import TrainingError


@dataclass(frozen=True, slots=True)
class Limits:
    """What a structure must be.

    Attributes
    ----------
    elements : tuple of str or None
        Elements that it may hold, of those that the model knows; any of these by default.
    max_atoms : int
        Largest number of atoms in the primitive cell.
    pore : float
        The pore limiting diameter is larger than this, Angstrom. By default the kinetic diameter of nitrogen, which is
        the smallest of the paper's set (npj Comput. Mater. 11, 125 (2025)).

    Raises
    ------
    TrainingError
        A value makes no sense; the message has it.
    """

    elements: tuple[str, ...] | None = None
    max_atoms: int = 200
    pore: float = 3.6

    def __post_init__(self) -> None:
        if self.elements is not None and not self.elements:
            raise TrainingError("No element was allowed", "", "Name some, or leave them out for all of the model")
        if self.max_atoms < 1:
            raise TrainingError(f"{self.max_atoms} atoms were allowed at most", "", "Allow one or more")
        if not (math.isfinite(self.pore) and self.pore >= 0.0):
            raise TrainingError(
                f"A pore limiting diameter above {self.pore} A was asked for",
                "It is a length, and 0 where there is no way through",
                "Give a number that is not negative",
            )
