"""Local environments as a model sees them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ase import Atoms

from ..models.loading import LoadedModel

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
    from mace.data.neighborhood import get_neighborhood

    edges, shifts, unit_shifts, cell = get_neighborhood(
        atoms.positions,
        model.r_max,
        (bool(atoms.pbc[0]), bool(atoms.pbc[1]), bool(atoms.pbc[2])),
        atoms.cell.array.copy(),
    )
    like = next(module.parameters())
    numbers = torch.as_tensor(atoms.numbers, device=like.device)
    reals = {"positions": atoms.positions, "shifts": shifts, "unit_shifts": unit_shifts, "cell": cell}
    whole = {"edge_index": edges, "batch": np.zeros(len(atoms)), "ptr": [0, len(atoms)]}
    return {
        "node_attrs": (numbers[:, None] == module.atomic_numbers).to(like),
        "head": torch.tensor([model.heads.index(model.head)], device=like.device),
        **{name: torch.as_tensor(np.asarray(value)).to(like) for name, value in reals.items()},
        **{name: torch.as_tensor(np.asarray(value)).to(like.device, torch.int64) for name, value in whole.items()},
    }
