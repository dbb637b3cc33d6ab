"""The model's hyperparameters, its construction, and checkpoints that hold no code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from crystals import ELEMENTS
from e3nn import o3
from mace import modules

ARCHITECTURE: dict[str, Any] = {
    "r_max": 5.0,
    "num_bessel": 8,
    "num_polynomial_cutoff": 5,
    "max_ell": 3,
    "interaction_cls": "RealAgnosticResidualInteractionBlock",
    "interaction_cls_first": "RealAgnosticResidualInteractionBlock",
    "num_interactions": 2,
    "num_elements": len(ELEMENTS),
    "hidden_irreps": "64x0e+64x1o",
    "MLP_irreps": "16x0e",
    # Messages are divided by it. The mean number of neighbours is 20 in MOF-5, but their contributions add up with
    # random signs and lie far below one: divided by 20 they vanish in the products of two and three.
    "avg_num_neighbors": 1.5,
    "atomic_numbers": list(ELEMENTS),
    "correlation": 3,
    "gate": "silu",
    "pair_repulsion": True,
    "distance_transform": "None",
    "radial_type": "bessel",
    "radial_MLP": [32, 32, 32],
    "atomic_inter_scale": 1.0,
    "atomic_inter_shift": 0.0,
}


def atomic_energies(minima: list[Atoms], isolated: dict[int, float]) -> list[float]:
    """Atomic energies (eV) that make the interaction energy of the given minima vanish.

    The free atoms' energies are corrected by the smallest amounts that achieve this, so that the network need not carry
    the bulk of the binding energy in single precision.
    """
    counts = np.array([[np.count_nonzero(a.numbers == z) for z in ELEMENTS] for a in minima], dtype=float)
    base = np.array([isolated[z] for z in ELEMENTS])
    target = np.array([a.get_potential_energy() for a in minima]) - counts @ base
    correction = np.linalg.lstsq(counts, target, rcond=None)[0]
    return [float(x) for x in base + correction]


def build_model(config: dict[str, Any]) -> modules.ScaleShiftMACE:
    """Construct the model from its JSON-able hyperparameters, in torch's default dtype."""
    kwargs = dict(config)
    for key in ("interaction_cls", "interaction_cls_first"):
        kwargs[key] = modules.interaction_classes[kwargs[key]]
    for key in ("hidden_irreps", "MLP_irreps"):
        kwargs[key] = o3.Irreps(kwargs[key])
    kwargs["gate"] = modules.gate_dict[kwargs["gate"]]
    kwargs["atomic_energies"] = np.array(kwargs["atomic_energies"], dtype=float)
    return modules.ScaleShiftMACE(**kwargs)


def balance(model: modules.ScaleShiftMACE) -> None:
    """Rescale the weights of a fresh network so that every part of it matters from the first step.

    mace divides each contraction weight by the number of its kind, which makes three-body terms and beyond a hundred
    times weaker than the pair term; training then finds pairs alone, and force constants beyond the first neighbours
    stay near zero. Here each order starts with the same size. The readouts grow, too, so that the energies have the
    size of what is to be learnt; mace's own scale would multiply the repulsion of the pairs as well.
    """
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "contractions" in name and "weights" in name:
                weight.mul_(weight.shape[1] ** 0.5)
        model.readouts[0].linear.weight.mul_(3.0)
        model.readouts[-1].linear_2.weight.mul_(3.0)


def save(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint through a temporary file and a rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    torch.save(content, temporary)
    temporary.replace(path)


def load(path: Path, dtype: torch.dtype) -> tuple[dict[str, Any], torch.nn.Module]:
    """Read a finished model (``config`` and ``state_dict``) in a given precision."""
    content = torch.load(path, weights_only=True)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        model = build_model(content["config"])
    finally:
        torch.set_default_dtype(before)
    state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in content["state_dict"].items()}
    model.load_state_dict(state)
    return content["config"], model
