"""A calculator that takes no time, for tests that register it, and the lattice of its copper as published by nobody."""

from ase.calculators.emt import EMT

EDGE = 3.60
"""Of the first published cell, in A; each other is 0.01 A larger."""


def emt(*, device, dtype):
    """Return ASE's effective medium theory of a few metals."""
    return EMT()
