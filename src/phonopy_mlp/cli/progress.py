"""Progress on the terminal: bars, lines that do not run into them, and no bars where there is no terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from tqdm import tqdm


def bar(items: Iterable[Any], total: int, label: str) -> Iterator[Any]:
    """Show how far an iteration has come and how long it will still take."""
    yield from tqdm(items, total=total, desc=label, disable=None, leave=False)


def print_line(text: str, file: TextIO) -> None:
    """Print a line, at once, and the bars that it would run into again below it."""
    with tqdm.external_write_mode(file):
        print(text, file=file, flush=True)


class RelaxationBar:
    """Progress of a relaxation, or of one after the other, measured by the decades of force still to go.

    There is no telling how many steps a relaxation takes, so the bar has the time so far, and none to go. Between
    relaxations there is no bar.

    Attributes
    ----------
    percent : int
        How much of the relaxation at hand is done.

    """

    def __init__(self, fmax: float) -> None:
        self._fmax, self._goal = fmax, _decade(fmax)
        self._bar: tqdm[Any] | None = None
        self._step, self._start = 0, -math.inf
        self.percent = 0

    def __call__(self, step: int, largest: float) -> None:
        """Show a step and its largest force in eV/A."""
        if step <= self._step:
            self._close()
            self._start, self.percent = -math.inf, 0
        here = _decade(largest)
        self._step, self._start = step, max(self._start, here, self._goal + 1e-9)
        done = (self._start - max(here, self._goal)) / (self._start - self._goal)
        self.percent = max(self.percent, round(100 * done))
        if self._bar is None:
            form = "{l_bar}{bar}| {elapsed}{postfix}"
            self._bar = tqdm(total=100, desc="Relaxation", disable=None, leave=False, bar_format=form)
        self._bar.n = self.percent
        self._bar.set_postfix_str(f"step {step}, {largest:.1e} to {self._fmax:.0e} eV/A")
        if largest <= self._fmax:
            self._close()

    def __enter__(self) -> RelaxationBar:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bar off the terminal."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _decade(force: float) -> float:
    return math.log10(max(force, 1e-300))
