"""What single precision of the channels does to phonon frequencies; writes ``results/precision.csv``.

For each framework, force constants by linear response in the 2x2x2 supercell with channels in float32 and in float64,
sum rule imposed, frequencies at Gamma, two zone-boundary points and six general q-points:

* `mini` as it is;
* the production architecture with random weights, whose force constants without the pair repulsion are scaled to the
  size of mini's, and whose error is then added to mini's. Products of messages weigh more in the balanced variant.
"""

from __future__ import annotations

import numpy as np
import torch
from ase import Atoms
from production import production_module
from rows import RESULTS, write_rows

from mace_mof_calc import structures
from mace_mof_calc.engine.engine import Engine
from mace_mof_calc.models.loading import load
from phonopy_mlp.force_constants import ForceConstantsResult, compute_force_constants, make_phonopy

FRAMEWORKS = ("MOF-5", "MOF-74", "UiO-66")
SOFTEST = 0.1  # THz
GOAL = 0.002  # THz

Q_POINTS = np.vstack([[0, 0, 0], [0.5, 0, 0], [0.5, 0.5, 0.5], np.random.default_rng(0).random((6, 3))])


class EngineAlone:
    """As much of a calculator as linear response needs."""

    name = "engine"
    has_linear_response = True

    def __init__(self, module: torch.nn.Module, dtype: torch.dtype) -> None:
        self.engine = Engine(module, dtype=dtype)

    def get_forces(self, atoms: Atoms) -> np.ndarray:
        """Return forces, eV/A."""
        return self.engine.evaluate(atoms).forces

    def atom_response(self, atoms: Atoms, index: int, directions: np.ndarray) -> tuple[np.ndarray, ...]:
        """See `Engine.atom_response`."""
        return self.engine.atom_response(atoms, index, directions)


def solve(module: torch.nn.Module, dtype: torch.dtype, name: str) -> ForceConstantsResult:
    """Return force constants of a framework."""
    return compute_force_constants(make_phonopy(structures.load(name), 2 * np.eye(3)), EngineAlone(module, dtype))


def frequencies(result: ForceConstantsResult, constants: np.ndarray) -> np.ndarray:
    """Return frequencies in THz of some force constants of the same crystal."""
    result.phonon.force_constants = constants
    result.phonon.run_qpoints(Q_POINTS)
    return result.phonon.qpoints.frequencies


def without_repulsion(balanced: bool) -> torch.nn.Module:
    """Return the production architecture's network alone."""
    module = production_module()
    del module.pair_repulsion_fn
    if balanced:
        with torch.no_grad():
            for interaction in module.interactions:
                interaction.avg_num_neighbors = 2.0
            for key, weight in module.named_parameters():
                if "contractions" in key and "weights" in key:
                    weight.mul_(weight.shape[1] ** 0.5)
    return module


def main() -> None:
    """Compute and write the table."""
    networks = {
        "production architecture, random weights": without_repulsion(balanced=False),
        "production architecture, balanced random weights": without_repulsion(balanced=True),
    }
    mini = load("mini").module
    rows = []
    for name in FRAMEWORKS:
        reference = solve(mini, torch.float64, name)
        known, size = reference.force_constants, np.abs(reference.force_constants).max()
        exact = frequencies(reference, known)
        errors = {"mini": solve(mini, torch.float32, name).force_constants - known}
        for label, module in networks.items():
            single, double = (solve(module, dtype, name).force_constants for dtype in (torch.float32, torch.float64))
            errors[label] = (single - double) * size / np.abs(double).max()
        for label, error in errors.items():
            shift = np.abs(frequencies(reference, known + error) - exact)[np.abs(exact) > SOFTEST].max()
            rows.append(
                {
                    "framework": name,
                    "errors of": label,
                    "largest force constant (eV/A^2)": f"{size:.3f}",
                    "largest error (eV/A^2)": f"{np.abs(error).max():.2e}",
                    "rms error (eV/A^2)": f"{np.sqrt(np.mean(error**2)):.2e}",
                    f"largest shift above {SOFTEST} THz (THz)": f"{shift:.2e}",
                    f"within {GOAL} THz": bool(shift < GOAL),
                }
            )
            print(*rows[-1].values(), sep="  ", flush=True)
    write_rows(RESULTS / "precision.csv", rows)


if __name__ == "__main__":
    main()
