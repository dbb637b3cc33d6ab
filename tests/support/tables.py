"""Published tables of numbers."""

from __future__ import annotations

import lzma
from pathlib import Path

import numpy as np


def read_table(path: Path) -> np.ndarray:
    """Read a table of numbers, compressed or not."""
    with lzma.open(path, "rt") if path.suffix == ".xz" else path.open() as file:
        return np.loadtxt(file)
