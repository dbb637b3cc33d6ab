"""Networks that begin balanced, with energies of atoms that leave nothing of those of the minima."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from ase import Atoms

from ...frames import get_labels
from ...models.hyperparameters import Hyperparameters
from ..finetune.atoms import add_up, fit_energies
from ..finetune.extend import Blueprint
from ..finetune.model import all_elements, initialise
from ..finetune.recipe import OWN_HEAD, Architecture
from .network import check_network

_RESIDUAL = "RealAgnosticResidualInteractionBlock"
_PRODUCT = re.compile(r"products\.\d+\.symmetric_contractions\.contractions\.\d+\.weights(_max|\.\d+)")
_READOUT = re.compile(r"readouts\.\d+\.linear(_2)?\.weight")

NEIGHBOURS = 1.5
"""Messages are divided by it. The mean number of neighbours is 20 in MOF-5, but their contributions add up with random
signs and lie far below one: divided by 20 they vanish in the products of two and three."""


def begin(
    architecture: Architecture, minima: Sequence[Atoms], own: Sequence[Atoms], free: Mapping[int, float], seed: int
) -> Blueprint:
    """Make a balanced network with random parameters, of the elements of all frames.

    Parameters
    ----------
    architecture : Architecture
    minima, own : sequence of Atoms
        Labelled.
    free : mapping of int to float
        Energies of free atoms by atomic number, eV, as far as they are known.
    seed : int

    Raises
    ------
    TrainingError
        It is a network that cannot be trained with Hessians.
    """
    energies = fit_to_minima(minima, {number: free.get(number, 0.0) for number in all_elements([*minima, *own])})
    values = Hyperparameters(
        r_max=architecture.cutoff,
        num_bessel=8,
        num_polynomial_cutoff=5,
        max_ell=3,
        num_interactions=architecture.layers,
        interaction_cls_first=_RESIDUAL,
        interaction_cls=_RESIDUAL,
        hidden_irreps=f"{architecture.channels}x0e+{architecture.channels}x1o",
        MLP_irreps="16x0e",
        correlation=(architecture.correlation,) * architecture.layers,
        radial_MLP=(32, 32, 32),
        atomic_numbers=tuple(sorted(energies)),
        heads=(OWN_HEAD,),
        avg_num_neighbors=NEIGHBOURS,
        pair_repulsion=True,
        distance_transform="None",
        activation_constant=1.0,  # e3nn computes it
    )
    check_network(values)
    # A scale of mace's would multiply the repulsion of the pairs as well.
    return balance(initialise(values, energies, scale=1.0, seed=seed))


def fit_to_minima(minima: Sequence[Atoms], energies: Mapping[int, float]) -> dict[int, float]:
    """Correct energies of atoms (eV) by the smallest amounts with which they add up to those of the minima.

    So the network need not carry the bulk of the binding energy in single precision.
    """
    left = np.array([get_labels(atoms).energy - add_up(atoms, energies) for atoms in minima])
    corrections = fit_energies(minima, left, list(energies))
    return {number: energy + corrections[number] for number, energy in energies.items()}


def balance(model: Blueprint) -> Blueprint:
    """Rescale the weights of a fresh network so that every part of it matters from the first step.

    mace divides each contraction weight by the number of its kind, which makes three-body terms and beyond a hundred
    times weaker than the pair term; training then finds pairs alone, and force constants beyond the first neighbours
    stay near zero. Here each order starts with the same size. The readouts grow, too, so that the energies have the
    size of what is to be learnt.
    """
    state = dict(model.state)
    for name, weight in model.state.items():
        if _PRODUCT.fullmatch(name):
            state[name] = weight * weight.shape[1] ** 0.5
        elif _READOUT.fullmatch(name):
            state[name] = weight * 3.0
    return Blueprint(model.hyperparameters, state)
