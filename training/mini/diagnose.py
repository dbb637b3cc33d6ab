"""Print what the README says of the data, of a fresh network, and of the errors of `mini`.

``python training/mini/diagnose.py WORK`` needs the work folder's minimum, Hessian and labels of MOF-5.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase.io import read
from numpy.typing import NDArray

from mace_mof_calc import MaceMOF
from mace_mof_calc.backend import import_mace

import_mace()

from crystals import FRAMEWORKS  # noqa: E402
from evaluate import forces_of  # noqa: E402
from fast import FastMACE  # noqa: E402
from graph import find_neighbours  # noqa: E402
from hessian import Modes, diagonalise, full_hessian, load_all, setup  # noqa: E402
from labels import isolated_energies  # noqa: E402
from losses import TIGHT, Minimum  # noqa: E402
from model import ARCHITECTURE, balance, build_model  # noqa: E402
from sample import load as load_frames  # noqa: E402


def harmonic_error(modes: Modes, work: Path, kind: str) -> float:
    """Return the error (rms over rms) of the reference's own Hessian for the forces of its test configurations."""
    errors = []
    for atoms in load_frames(work, "test", ["MOF-5"]):
        if atoms.info["kind"] == kind:
            forces = atoms.get_forces().ravel()
            harmonic = -modes.hessian @ (atoms.positions - modes.atoms.positions).ravel()
            errors.append(np.sqrt(np.mean((forces - harmonic) ** 2) / np.mean(forces**2)))
    return float(np.mean(errors))


def split_errors(modes: Modes, work: Path) -> Iterator[str]:
    """Say where the errors of `mini` on MOF-5 come from: its Hessian or what is beyond, which modes, which data."""
    calculator = MaceMOF("mini")
    phonon = setup(read(work / "minima" / "MOF-5.extxyz"), FRAMEWORKS["MOF-5"].repeat)
    own = diagonalise(modes.atoms, full_hessian(phonon, forces_of(phonon, calculator)))
    squares: dict[str, list[NDArray[np.float64]]] = {}
    for purpose in ("train", "test"):
        for atoms in load_frames(work, purpose, ["MOF-5"]):
            if not np.allclose(atoms.cell, modes.atoms.cell):
                continue
            kind = f"{atoms.info['kind']} ({purpose})"
            error = (calculator.get_forces(atoms.copy()) - atoms.get_forces()).ravel()
            harmonic = (modes.hessian - own.hessian) @ (atoms.positions - modes.atoms.positions).ravel()
            parts = [np.mean(each**2) for each in (error, harmonic, error - harmonic, atoms.get_forces())]
            squares.setdefault(kind, []).append(np.array(parts))
    for kind, found in squares.items():
        total, harmonic, rest = 100 * np.sqrt(np.sum(found, axis=0)[:3] / np.sum(found, axis=0)[3])
        yield f"forces, {kind}: error {total:.1f} %, of the Hessian {harmonic:.1f} %, beyond it {rest:.1f} %"
    shifts = own.frequencies - modes.frequencies
    for low, high in pairwise((0, 2, 5, 10, 20, 30, 50, 120)):
        inside = (modes.frequencies >= low) & (modes.frequencies < high)
        yield f"{inside.sum()} modes from {low} to {high} THz: off by {np.sqrt(np.mean(shifts[inside] ** 2)):.3f} THz"


def sensitivities(modes: Modes, config: dict[str, Any], balanced: bool, samples: int = 8) -> dict[int, float]:
    """Return the derivative of the curvature by the contraction weights of each order, of a fresh network.

    It is the root mean square, over random directions, of the norm of the derivative of the weighted curvature (see
    `losses`) by the weights that multiply products of one, two and three messages in the first layer.
    """
    torch.manual_seed(1)
    model = build_model(config)
    if balanced:
        balance(model)
    fast = FastMACE(model)
    weights = model.products[0].symmetric_contractions.contractions[0]
    of_order = {1: weights.weights[1], 2: weights.weights[0], 3: weights.weights_max}
    minimum = Minimum(modes, fast)
    generator = torch.Generator().manual_seed(0)
    squares = dict.fromkeys(of_order, 0.0)
    for _ in range(samples):
        found = fast.evaluate(minimum.graph, train=True)
        amplitudes, direction = torch.randn((2, len(minimum.squares)), generator=generator)
        error = minimum.curvature_error(fast, found, amplitudes, TIGHT.frequency)
        for order, gradient in zip(of_order, torch.autograd.grad(error @ direction, of_order.values()), strict=True):
            squares[order] += float((gradient**2).sum()) / samples
    return {order: square**0.5 for order, square in squares.items()}


def main() -> None:
    """Print the numbers."""
    warnings.filterwarnings("ignore")
    work = Path(sys.argv[1])
    modes = load_all(work)["MOF-5"]
    print(f"error of GFN1-xTB's Hessian for thermal forces: {100 * harmonic_error(modes, work, 'thermal'):.1f} %")
    isolated = isolated_energies(work)
    config = {**ARCHITECTURE, "atomic_energies": [isolated[z] for z in ARCHITECTURE["atomic_numbers"]]}
    found = find_neighbours(modes.atoms, list(ARCHITECTURE["atomic_numbers"]), ARCHITECTURE["r_max"])
    neighbours = len(found.source) / len(modes.atoms)
    print(f"neighbours per atom: {neighbours:.1f}")
    for label, number, balanced in (
        ("mace's own", neighbours, False),
        ("balanced", ARCHITECTURE["avg_num_neighbors"], True),
    ):
        found = sensitivities(modes, {**config, "avg_num_neighbors": number}, balanced)
        relative = ", ".join(f"{order}: {value / found[1]:.1e}" for order, value in found.items())
        print(f"sensitivity to the weights of each order, relative to order 1, {label}: {relative}")
    for line in split_errors(modes, work):
        print(line)


if __name__ == "__main__":
    main()
