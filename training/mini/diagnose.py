"""Print what the README says of the data, of a fresh network, and of the errors of `mini`.

``python training/mini/diagnose.py``
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import archive
import numpy as np
import torch
from ase import Atoms
from evaluate import TITLES
from numpy.typing import NDArray

from mace_mof_calc import MaceMOF
from mace_mof_calc.backend import import_mace
from mace_mof_calc.frames import get_labels
from mace_mof_calc.training.curvature.losses import TIGHT, Minimum
from mace_mof_calc.training.curvature.network import FastMACE
from mace_mof_calc.training.curvature.schedule import USUAL
from mace_mof_calc.training.curvature.start import begin
from mace_mof_calc.training.finetune.extend import Blueprint
from mace_mof_calc.training.finetune.graphs import count_neighbours
from mace_mof_calc.training.finetune.model import initialise, make_trainable
from mace_mof_calc.training.hessians import compute_rows, get_hessian
from mace_mof_calc.training.modes import make_modes


def read(name: str) -> list[Atoms]:
    """Read the frames of MOF-5 of a file of the archive."""
    return [atoms for atoms in archive.LABELS.read(name) if atoms.info["source"] == "MOF-5"]


def harmonic_forces(minimum: Atoms, hessian: NDArray[np.float64], atoms: Atoms) -> NDArray[np.float64]:
    """Return the forces on a displaced crystal by a Hessian, flat."""
    return -hessian @ (atoms.positions - minimum.positions).ravel()


def harmonic_error(minimum: Atoms, frames: list[Atoms]) -> float:
    """Return the error (rms over rms) of the reference's own Hessian for the forces of frames."""
    errors = []
    for atoms in frames:
        forces = get_labels(atoms).forces.ravel()
        error = forces - harmonic_forces(minimum, get_hessian(minimum), atoms)
        errors.append(np.sqrt(np.mean(error**2) / np.mean(forces**2)))
    return float(np.mean(errors))


def split_errors(minimum: Atoms) -> Iterator[str]:
    """Say where the errors of `mini` on MOF-5 come from: its Hessian or what is beyond, which modes, which data."""
    calculator = MaceMOF("mini")
    bare = Atoms(minimum.numbers, positions=minimum.positions, cell=minimum.cell, pbc=True)
    own = np.reshape([compute_rows(bare, k, calculator) for k in range(len(bare))], (3 * len(bare), 3 * len(bare)))
    difference = get_hessian(minimum) - own
    squares: dict[str, list[NDArray[np.float64]]] = {}
    for purpose in ("labelled", "unseen"):
        for atoms in read(purpose):
            if not np.allclose(atoms.cell, minimum.cell):
                continue
            kind = f"{TITLES.get(atoms.info['kind'], atoms.info['kind'])} ({purpose})"
            forces = get_labels(atoms).forces.ravel()
            error = calculator.get_forces(atoms.copy()).ravel() - forces
            harmonic = -harmonic_forces(minimum, difference, atoms)
            parts = [np.mean(each**2) for each in (error, harmonic, error - harmonic, forces)]
            squares.setdefault(kind, []).append(np.array(parts))
    for kind, found in squares.items():
        total, harmonic, rest = 100 * np.sqrt(np.sum(found, axis=0)[:3] / np.sum(found, axis=0)[3])
        yield f"forces, {kind}: error {total:.1f} %, of the Hessian {harmonic:.1f} %, beyond it {rest:.1f} %"
    known, found = (make_modes(each, bare.get_masses()).frequencies for each in (get_hessian(minimum), own))
    for low, high in pairwise((0, 2, 5, 10, 20, 30, 50, 120)):
        inside = (known >= low) & (known < high)
        rms = np.sqrt(np.mean((found - known)[inside] ** 2))
        yield f"{inside.sum()} modes from {low} to {high} THz: off by {rms:.3f} THz"


def sensitivities(model: Blueprint, minimum: Atoms, samples: int = 8) -> dict[int, float]:
    """Return the derivative of the curvature by the contraction weights of each order, of a fresh network.

    It is the root mean square, over random directions, of the norm of the derivative of the weighted curvature (see
    `losses`) by the weights that multiply products of one, two and three messages in the first layer.
    """
    network = FastMACE(make_trainable(model, "float32", "cpu"))
    weights = network.model.products[0].symmetric_contractions.contractions[0]
    of_order = {1: weights.weights[1], 2: weights.weights[0], 3: weights.weights_max}
    least = Minimum(minimum, {}, network)
    generator = torch.Generator().manual_seed(0)
    squares = dict.fromkeys(of_order, 0.0)
    for _ in range(samples):
        found = network.evaluate(least.graph, train=True)
        amplitudes, direction = torch.randn((2, len(least.squares)), generator=generator)
        error = least.curvature_error(network, found, amplitudes, TIGHT.frequency)
        for order, gradient in zip(of_order, torch.autograd.grad(error @ direction, of_order.values()), strict=True):
            squares[order] += float((gradient**2).sum()) / samples
    return {order: square**0.5 for order, square in squares.items()}


def main() -> None:
    """Print the numbers."""
    warnings.filterwarnings("ignore")
    import_mace()
    (minimum,) = read("hessians")
    thermal = [atoms for atoms in read("unseen") if atoms.info["kind"] == "phonons"]
    print(f"error of GFN1-xTB's Hessian for thermal forces: {100 * harmonic_error(minimum, thermal):.1f} %")
    neighbours = count_neighbours([minimum], USUAL.cutoff)
    print(f"neighbours per atom: {neighbours:.1f}")
    balanced = begin(USUAL, [minimum], [], {}, seed=1)
    energies = dict.fromkeys(balanced.hyperparameters.atomic_numbers, 0.0)
    plain = initialise(replace(balanced.hyperparameters, avg_num_neighbors=neighbours), energies, scale=1.0, seed=1)
    for label, model in (("mace's own", plain), ("balanced", balanced)):
        found = sensitivities(model, minimum)
        relative = ", ".join(f"{order}: {value / found[1]:.1e}" for order, value in found.items())
        print(f"sensitivity to the weights of each order, relative to order 1, {label}: {relative}")
    for line in split_errors(minimum):
        print(line)


if __name__ == "__main__":
    main()
