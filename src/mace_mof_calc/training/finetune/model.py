"""The network before training: of a foundation model, with a head for each set of data, or fresh."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...models.architecture import (
    STORED_BUFFERS,
    build_module,
    construction,
    extract_hyperparameters,
    initialise_module,
)
from ...models.hyperparameters import Hyperparameters
from .extend import Blueprint
from .recipe import Architecture

if TYPE_CHECKING:
    import torch

_ENERGIES, _SCALE, _SHIFT = "atomic_energies_fn.atomic_energies", "scale_shift.scale", "scale_shift.shift"

_INTERACTIONS = ("RealAgnosticInteractionBlock", "RealAgnosticResidualInteractionBlock")


def describe_module(module: torch.nn.Module) -> Blueprint:
    """Return a model as data."""
    state = {name: tensor.detach().cpu() for name, tensor in module.state_dict().items()}
    hyperparameters = extract_hyperparameters(module, state)
    stored = {name for name, _ in module.named_parameters()} | STORED_BUFFERS
    return Blueprint(hyperparameters, {name: tensor for name, tensor in state.items() if name in stored})


def keep_head(module: torch.nn.Module, head: str) -> torch.nn.Module:
    """Return a model with one of its heads alone, by mace's own means."""
    import torch
    from mace.tools.scripts_utils import remove_pt_head

    if len(list(module.heads)) == 1:  # type: ignore[arg-type]  # an attribute of mace's
        return module
    with construction(torch.float64), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="To copy construct from a tensor", category=UserWarning)
        alone: torch.nn.Module = remove_pt_head(module, head)
    constant = extract_hyperparameters(module, module.state_dict()).activation_constant
    kept = describe_module(alone)
    return build_module(replace(kept.hyperparameters, activation_constant=constant), kept.state, dtype=torch.float64)


def add_heads(model: Blueprint, heads: Mapping[str, Mapping[int, float]]) -> Blueprint:
    """Give each head the parameters of a model with one, by mace's own means for fine-tuning.

    Parameters
    ----------
    model : Blueprint
        With one head.
    heads : mapping of str to mapping of int to float
        Energies of free atoms by head and atomic number, eV, of all elements of the model.
    """
    import torch
    from e3nn.o3 import Irreps
    from mace.tools import AtomicNumberTable
    from mace.tools.finetuning_utils import load_foundations_elements

    numbers = list(model.hyperparameters.atomic_numbers)
    hyperparameters = replace(model.hyperparameters, heads=tuple(heads))
    foundation = build_module(model.hyperparameters, model.state, dtype=torch.float64)
    module = initialise_module(hyperparameters, seed=0)
    load_foundations_elements(
        module,
        foundation,
        AtomicNumberTable(numbers),
        load_readout=True,
        max_L=Irreps(hyperparameters.hidden_irreps).lmax,
        default_dtype=torch.float64,
    )
    energies = [[heads[head][number] for number in numbers] for head in heads]
    state = {**describe_module(module).state, _ENERGIES: torch.tensor(energies, dtype=torch.float64)}
    return Blueprint(hyperparameters, state)


def make_fresh(
    architecture: Architecture, energies: Mapping[int, float], *, scale: float, neighbours: float, head: str, seed: int
) -> Blueprint:
    """Make a network with random parameters.

    Parameters
    ----------
    architecture : Architecture
    energies : mapping of int to float
        Energies of free atoms, eV, of each element by atomic number.
    scale : float
        What the network's energies are multiplied by: the root mean square of the forces, in eV/A.
    neighbours : float
        Mean number of neighbours, which sums over them are divided by.
    head : str
    seed : int
    """
    values: dict[str, Any] = {
        "r_max": architecture.cutoff,
        "num_bessel": 8,
        "num_polynomial_cutoff": 5,
        "max_ell": 3,
        "num_interactions": architecture.layers,
        "interaction_cls_first": _INTERACTIONS[0],
        "interaction_cls": _INTERACTIONS[architecture.layers > 1],
        "hidden_irreps": f"{architecture.channels}x0e+{architecture.channels}x1o",
        "MLP_irreps": "16x0e",
        "correlation": (architecture.correlation,) * architecture.layers,
        "radial_MLP": (64, 64, 64),
        "atomic_numbers": tuple(sorted(energies)),
        "heads": (head,),
        "avg_num_neighbors": neighbours,
        "pair_repulsion": False,
        "distance_transform": "None",
        "activation_constant": 1.0,  # e3nn computes it
    }
    return initialise(Hyperparameters(**values), energies, scale=scale, seed=seed)


def initialise(
    hyperparameters: Hyperparameters, energies: Mapping[int, float], *, scale: float, seed: int
) -> Blueprint:
    """Make a network with random parameters; arguments as in `make_fresh`."""
    import torch

    made = describe_module(initialise_module(hyperparameters, seed=seed))
    numbers = made.hyperparameters.atomic_numbers
    reals = {_ENERGIES: [[energies[number] for number in numbers]], _SCALE: [scale], _SHIFT: [0.0]}
    buffers = {name: torch.tensor(value, dtype=torch.float64) for name, value in reals.items()}
    return Blueprint(made.hyperparameters, {**made.state, **buffers})


def make_trainable(model: Blueprint, dtype: str, device: str, state: Mapping[str, torch.Tensor] | None = None) -> Any:
    """Build the module, in training mode, with its own parameters or others."""
    import torch

    module = build_module(model.hyperparameters, state or model.state, dtype=getattr(torch, dtype))
    return module.to(device).requires_grad_(requires_grad=True).train()


def all_elements(frames: Sequence[Any]) -> tuple[int, ...]:
    """Return the atomic numbers in frames, ascending."""
    return tuple(sorted({int(number) for atoms in frames for number in set(atoms.numbers)}))
