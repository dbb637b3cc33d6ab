"""Force constants by finite displacements with mace's own calculator, as a program of its own."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from mace.calculators import MACECalculator

from phonopy_mlp.force_constants import compute_force_constants, make_phonopy
from phonopy_mlp.output import write_force_constants
from phonopy_mlp.structures import read_structure


def main() -> None:
    """Read model and structure, compute, and write into the working folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("structure")
    parser.add_argument("--dim", type=int, nargs=3, required=True)
    parser.add_argument("--distance", type=float, required=True)
    options = parser.parse_args()
    calculator = MACECalculator(model_paths=options.model, device="cpu", default_dtype="float64")
    phonon = make_phonopy(read_structure(options.structure), np.diag(options.dim))
    result = compute_force_constants(phonon, calculator, distance=options.distance, method="finite-displacement")
    write_force_constants(result, Path())


if __name__ == "__main__":
    main()
