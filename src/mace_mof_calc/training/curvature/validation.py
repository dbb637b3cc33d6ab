"""Errors of a model on labelled frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms

from ..finetune.curves import HeadErrors
from ..finetune.extend import Blueprint
from ..finetune.model import make_trainable
from ..finetune.recipe import OWN_HEAD
from .losses import TIGHT, WEIGHTS, Targets, errors, tempered
from .network import FastMACE

_VOIGT = ((0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1))


def measure(network: FastMACE, targets: Targets, **of_step: Any) -> HeadErrors:
    """Return the errors of a model on labelled frames, and its loss there in the tightest scales."""
    energy, forces, stress, losses = [], [], [], []
    for k, (graph, labels) in enumerate(zip(targets.graphs, targets.labels, strict=True)):
        found = network.evaluate(graph)
        energy.append((found.energy - labels.energy) / len(labels.forces))
        forces.append((found.gradient + labels.forces).flatten())
        stress.append((found.stress - labels.stress)[0][*_VOIGT])
        parts = errors(network, *targets.joined([k]), TIGHT, train=False)
        losses.append(sum(WEIGHTS[name] * float(tempered(value.detach())) for name, value in parts.items()))
    left = {"energy": torch.cat(energy), "forces": torch.cat(forces), "stress": torch.cat(stress)}
    known = {name: values.detach()[~values.isnan()].double() for name, values in left.items()}
    found_errors: dict[str, Any] = {}
    for name, values in known.items():
        found_errors[f"{name}_rmse"] = float(values.square().mean().sqrt()) if len(values) else None
        found_errors[f"{name}_mae"] = float(values.abs().mean()) if len(values) else None
    return HeadErrors(head=OWN_HEAD, loss=float(np.mean(losses)), **found_errors, **of_step)


def measure_model(model: Blueprint, frames: Sequence[Atoms], **of_step: Any) -> HeadErrors:
    """Return the errors of a model on labelled frames of its elements, computed in float64 on the CPU."""
    network = FastMACE(make_trainable(model, "float64", "cpu"))
    titles = [make_title(atoms) for atoms in frames]
    return measure(network, Targets(frames, titles, model.energies, network), **of_step)


def make_title(atoms: Atoms) -> str:
    """Return what frames must have in common that are evaluated together: their crystal, and their atoms."""
    return f"{atoms.info['source']} {atoms.symbols.formula.format('hill')}"
