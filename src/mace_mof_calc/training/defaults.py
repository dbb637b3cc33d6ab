"""What is taken where nothing is chosen, by the library and by the command line alike."""

from __future__ import annotations

#: Of calculators.
DEVICE, DTYPE = "auto", "float64"

#: Processes that label frames.
WORKERS = 1

#: Longest time for the labels of a frame, s.
TIMEOUT = 3600.0

#: K-points per 1/Angstrom along each reciprocal vector (with its factor 2 pi), ASE's default.
DENSITY = 3.5
