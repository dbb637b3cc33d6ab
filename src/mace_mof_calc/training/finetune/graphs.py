"""Frames as mace's trainer takes them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from ase import Atoms

from ...frames import ENERGY, FORCES, STRESS
from ...models.hyperparameters import Hyperparameters
from ...neighbours import find_neighbours


@contextlib.contextmanager
def default_dtype(dtype: str) -> Iterator[None]:
    """Set the default dtype of PyTorch, which mace makes its tensors in, and give it back."""
    import torch

    previous = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        yield
    finally:
        torch.set_default_dtype(previous)


def make_graphs(frames: Sequence[Atoms], head: str, model: Hyperparameters) -> list[Any]:
    """Return mace's graphs of labelled frames, in the default dtype of PyTorch.

    Parameters
    ----------
    frames : sequence of Atoms
        Of elements that the model has; a label that is missing does not count.
    head : str
        The head that learns from them.
    model : Hyperparameters
    """
    from mace.data import AtomicData, KeySpecification, config_from_atoms
    from mace.tools import AtomicNumberTable

    keys = KeySpecification(info_keys={"energy": ENERGY, "stress": STRESS}, arrays_keys={"forces": FORCES})
    table, heads = AtomicNumberTable(list(model.atomic_numbers)), list(model.heads)
    return [
        AtomicData.from_config(
            config_from_atoms(atoms, key_specification=keys, head_name=head),
            z_table=table,
            cutoff=model.r_max,
            heads=heads,
        )
        for atoms in frames
    ]


def make_loader(graphs: Sequence[Any], batch: int, *, shuffle: bool) -> Any:
    """Return mace's loader of graphs; where it shuffles, ``loader.generator`` decides the order."""
    import torch
    from mace.tools.torch_geometric.dataloader import DataLoader

    frames: Any = list(graphs)  # serves as a Dataset
    return DataLoader(dataset=frames, batch_size=batch, shuffle=shuffle, generator=torch.Generator())


def count_neighbours(frames: Sequence[Atoms], cutoff: float) -> float:
    """Return the mean number of neighbours of an atom within a cutoff (A)."""
    pairs = sum(len(find_neighbours(atoms.positions, atoms.cell.array, atoms.pbc, cutoff)[0]) for atoms in frames)
    return float(pairs / sum(len(atoms) for atoms in frames))


def forces_scale(frames: Sequence[Atoms]) -> float:
    """Return the root mean square of all force components, eV/A."""
    return float(np.sqrt(np.mean(np.concatenate([atoms.arrays[FORCES].ravel() for atoms in frames]) ** 2)))
