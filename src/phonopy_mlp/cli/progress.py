"""Progress bars on the terminal; quiet where there is none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from tqdm import tqdm


def bar(items: Iterable[Any], total: int, label: str) -> Iterator[Any]:
    """Show how far an iteration has come and how long it will still take."""
    yield from tqdm(items, total=total, desc=label, disable=None, leave=False)


class RelaxationBar:
    """Progress of a relaxation, or of one after the other, measured by the decades of force still to go."""

    def __init__(self, fmax: float) -> None:
        self._goal = _decade(fmax)
        self._start: float | None = None
        self._step = 0
        self._bar = tqdm(total=100, desc="Relaxation", disable=None, leave=False, bar_format="{l_bar}{bar}| {postfix}")

    def __call__(self, step: int, largest: float) -> None:
        """Show a step and its largest force in eV/A."""
        if step <= self._step:
            self._start, self._bar.n = None, 0
        self._step = step
        here = _decade(largest)
        self._start = max(here, self._goal + 1e-9) if self._start is None else max(self._start, here)
        done = (self._start - max(here, self._goal)) / (self._start - self._goal)
        self._bar.n = max(self._bar.n, round(100 * done))
        self._bar.set_postfix_str(f"step {step}, fmax {largest:.1e} eV/A")

    @property
    def percent(self) -> int:
        """How much of the relaxation at hand is done."""
        return int(self._bar.n)

    def clear(self) -> None:
        """Make room on the terminal for a line; the next step shows the bar again."""
        self._bar.clear()

    def __enter__(self) -> RelaxationBar:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bar off the terminal."""
        self._bar.close()


def _decade(force: float) -> float:
    return math.log10(max(force, 1e-300))
