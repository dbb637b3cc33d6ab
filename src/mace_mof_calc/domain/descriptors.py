"""Local environments as a model sees them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ase import Atoms

from ..models.loading import LoadedModel
from ..neighbours import find_neighbours

Array = np.ndarray[Any, Any]


def compute_descriptors(model: LoadedModel, atoms: Atoms) -> Array:
    """Return the invariant features of each atom, layer after layer: what the model makes its energy of.

    The same numbers as mace's ``get_descriptors``, without the forces that it computes beside them.

    Parameters
    ----------
    model : LoadedModel
    atoms : Atoms
        Of elements that the model knows.

    Returns
    -------
    ndarray, shape=(natoms, features)
        Without unit.
    """
    module: Any = model.module
    with torch.no_grad():
        features = module(_graph(module, model, atoms), compute_force=False)["node_feats"].numpy(force=True)
    kept, begin = [], 0
    for product in module.products:
        irreps = product.linear.irreps_out
        kept.append(features[:, begin : begin + irreps.count("0e")])  # scalars come first
        begin += irreps.dim
    found: Array = np.concatenate(kept, axis=1).astype(float)
    return found


def _graph(module: Any, model: LoadedModel, atoms: Atoms) -> dict[str, torch.Tensor]:
    cell = atoms.cell.array
    sender, receiver, offsets = find_neighbours(atoms.positions, cell, atoms.pbc, model.r_max)
    like = next(module.parameters())
    numbers = torch.as_tensor(atoms.numbers, device=like.device)
    reals = {"positions": atoms.positions, "shifts": offsets @ cell, "unit_shifts": offsets, "cell": cell}
    whole = {"edge_index": [sender, receiver], "batch": np.zeros(len(atoms)), "ptr": [0, len(atoms)]}
    return {
        "node_attrs": (numbers[:, None] == module.atomic_numbers).to(like),
        "head": torch.tensor([model.heads.index(model.head)], device=like.device),
        **{
            name: torch.as_tensor(np.asarray(value), dtype=like.dtype, device=like.device)
            for name, value in reals.items()
        },
        **{
            name: torch.as_tensor(np.asarray(value), dtype=torch.int64, device=like.device)
            for name, value in whole.items()
        },
    }
