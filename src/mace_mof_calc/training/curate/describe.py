"""Frameworks as a model sees them: one vector for the linkers, one for the nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from .bonds import Bonds, find_nodes

if TYPE_CHECKING:
    from ...models.loading import LoadedModel

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Description:
    """Mean descriptors of a framework, without unit.

    Attributes
    ----------
    linker, node : ndarray, shape=(features,)
        Means over the atoms of the linkers and over those of the nodes; see `bonds.find_nodes`.
    """

    linker: Array
    node: Array


def describe(model: LoadedModel, atoms: Atoms, bonds: Bonds) -> Description:
    """Average the descriptors of a model over linkers and nodes, as for Fig. 1 of npj Comput. Mater. 11, 125 (2025).

    Parameters
    ----------
    model : LoadedModel
        Any that knows the elements.
    atoms : Atoms
        A framework that has both.
    bonds : Bonds
        Of it.
    """
    from ...domain.descriptors import compute_descriptors

    descriptors = compute_descriptors(model, atoms)
    node = find_nodes(atoms.numbers, bonds)
    means = descriptors[~node].mean(axis=0), descriptors[node].mean(axis=0)
    for mean in means:
        mean.setflags(write=False)
    return Description(*means)
