"""How a model is trained with Hessians."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, inf, pi

from ...errors import TrainingError
from ..finetune.recipe import Architecture

USUAL = Architecture(channels=64, cutoff=5.0)
"""Network that is trained from nothing where no other is asked for."""

WARM_UP = 50
"""Steps in which the learning rate rises."""

TIGHTENED = 0.6
"""Part of the steps after which the scales stay."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """All that decides the result besides frames, Hessians, and where it starts.

    Attributes
    ----------
    steps : int
    rates : sequence of float
        First and last learning rate; a cosine in between.
    tighten : sequence of float
        Progress of the scales of all errors at the start and at 60 % of the steps, where it stops: 0 is loose, with 30
        THz added to frequencies, 1 is tight, with 1.5 THz; see `losses`.
    batch : int
        Frames, and one minimum, in each draw.
    draws : int
        Draws that a step averages over; computed side by side.
    seed : int
        Of the division, of what is drawn, and of fresh parameters.
    elements : sequence of str
        Symbols; only what the network has for these is trained, and structures without them keep their results. None
        for all of it.
    """

    steps: int = 5000
    rates: Sequence[float] = (7e-3, 1e-5)
    tighten: Sequence[float] = (0.0, 0.5)
    batch: int = 4
    draws: int = 2
    seed: int = 0
    elements: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, value, least in (
            ("steps", self.steps, 1),
            ("frames in a batch", self.batch, 1),
            ("draws", self.draws, 1),
        ):
            if value < least:
                raise TrainingError(f"{value} {name}", f"There must be {least} or more", "")
        if not all(0 < rate < inf for rate in self.rates):
            raise TrainingError(
                f"Learning rates from {self.rates[0]:g} to {self.rates[1]:g}", "Both must be above 0", ""
            )
        if not all(0 <= progress <= 1 for progress in self.tighten):
            raise TrainingError(
                f"Scales from {self.tighten[0]:g} to {self.tighten[1]:g}", "0 is loose, and 1 is tight", ""
            )
        if self.seed < 0:
            raise TrainingError(f"The seed {self.seed}", "It must be 0 or more", "")

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, the first being 0."""
        first, last = self.rates
        return (last + 0.5 * (first - last) * (1 + cos(pi * step / self.steps))) * min(1.0, (step + 1) / WARM_UP)

    def progress(self, step: int) -> float:
        """Return the progress of the scales at a step."""
        begin, end = self.tighten
        return begin + (end - begin) * min(1.0, step / (TIGHTENED * self.steps))
