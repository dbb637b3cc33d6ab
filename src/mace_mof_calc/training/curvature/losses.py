"""Losses at the minima, with curvature, and on labelled configurations.

At a minimum, the model's Hessian is multiplied with a random displacement by differentiating twice, and compared with
the reference in the metric of the frequencies: with the reference's modes ``E``, frequencies ``f`` and
``w = 1 / (|f| + f0)``, the loss is ``|w (E^T D E - f^2) w z|^2`` for ``z ~ N(0, 1)``, an unbiased estimate of a
weighted Frobenius norm in which soft modes count most.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass

import numpy as np
import torch
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress
from torch import Tensor

from ...frames import get_labels
from ..finetune.atoms import add_up
from ..hessians import get_hessian
from ..modes import THZ, make_modes
from .graph import Graph, join, join_atoms
from .network import Evaluation, FastMACE

Scale = float | Tensor


@dataclass(frozen=True)
class Scales:
    """What errors are measured against.

    The metric of the frequencies is ill-conditioned (a stiff mode may hold a thousand times the curvature of a soft
    one), and a network that starts there learns next to nothing. So training starts with scales at which the stiff
    part counts, and tightens them.

    Attributes
    ----------
    frequency : float
        f0 above, THz.
    force : float
        Added in quadrature to each configuration's rms force, eV/A; also the scale of the forces at a minimum.
    energy : float
        eV/atom.
    stress : float
        eV/A^3.
    """

    frequency: Scale
    force: Scale
    energy: Scale
    stress: Scale


LOOSE, TIGHT = Scales(30.0, 0.3, 0.05, 5e-3), Scales(1.5, 0.01, 0.001, 2e-4)


def scales(progress: float) -> Scales:
    """Scales at a progress between 0 and 1."""
    p = min(1.0, max(0.0, progress))
    return Scales(*(a ** (1 - p) * b**p for a, b in zip(astuple(LOOSE), astuple(TIGHT), strict=True)))


@dataclass(frozen=True)
class Labels:
    """What cells are labelled with, in the order of their graph, the atoms' own energies taken off.

    Attributes
    ----------
    energy : Tensor, shape=(ncell,)
        eV.
    forces : Tensor, shape=(natom, 3)
        eV/A.
    stress : Tensor, shape=(ncell, 3, 3)
        eV/A^3; not a number where there is none.
    excess : Tensor, shape=(ncell,)
        Of the energy over that of the lowest of the frames with the same title, eV.
    """

    energy: Tensor
    forces: Tensor
    stress: Tensor
    excess: Tensor


def _read_labels(atoms: Atoms, graph: Graph, energies: Mapping[int, float], lowest: float) -> Labels:
    """Return the labels of a frame.

    Parameters
    ----------
    atoms : Atoms
        Labelled.
    graph : Graph
        Of the same.
    energies : mapping of int to float
        The atoms' own energies by atomic number, eV.
    lowest : float
        Energy of the lowest of the frames with the same title, eV.
    """
    found = get_labels(atoms)
    stress = np.full((3, 3), np.nan) if found.stress is None else voigt_6_to_full_3x3_stress(found.stress)
    return Labels(
        torch.tensor([found.energy - add_up(atoms, energies)], dtype=torch.float64).to(graph.edges),
        torch.as_tensor(found.forces[graph.order.numpy(force=True)]).to(graph.edges),
        torch.as_tensor(stress[None]).to(graph.edges),
        torch.tensor([found.energy - lowest], dtype=torch.float64).to(graph.edges),
    )


class Minimum:
    """A minimum with its Hessian, ready for products of the model's with a displacement.

    Parameters
    ----------
    atoms : Atoms
        Labelled, with its Hessian; see `training.hessians`.
    energies : mapping of int to float
        The atoms' own energies by atomic number, eV.
    network : FastMACE
        The model, or one of the same hyperparameters, device and precision.
    """

    def __init__(self, atoms: Atoms, energies: Mapping[int, float], network: FastMACE) -> None:
        modes = make_modes(get_hessian(atoms), atoms.get_masses())
        self.graph = network.graph(network.neighbours(atoms), curvature=True)
        self.labels = _read_labels(atoms, self.graph, energies, get_labels(atoms).energy)
        order = self.graph.order.numpy(force=True)
        displacements = modes.vectors / np.sqrt(atoms.get_masses())[:, None]
        self.to_cartesian = torch.as_tensor(displacements[:, order].reshape(len(displacements), -1).T).to(
            self.graph.edges
        )
        self.frequencies = torch.as_tensor(np.abs(modes.frequencies)).to(self.graph.edges)
        self.squares = torch.as_tensor(modes.frequencies * np.abs(modes.frequencies)).to(self.graph.edges)

    def curvature_error(self, network: FastMACE, found: Evaluation, amplitudes: Tensor, frequency: Scale) -> Tensor:
        """Error of the product of the Hessian with a displacement, in the metric of the frequencies.

        Parameters
        ----------
        network : FastMACE
            The model.
        found : Evaluation
            Of the minimum, made for training.
        amplitudes : Tensor, shape=(nmode,)
            Of the displacement, in that metric.
        frequency : float or Tensor
            f0 of the metric, THz.
        """
        weight = 1.0 / (self.frequencies + frequency)
        v = weight * amplitudes
        product = network.product(self.graph, found, (self.to_cartesian @ v).view(-1, 3))
        projected = (self.to_cartesian.T @ product.ravel()) / THZ**2
        return weight * (projected - self.squares * v)

    def losses(self, network: FastMACE, amplitudes: Tensor, scale: Scales) -> dict[str, Tensor]:
        """Compute the squared errors at the minimum, over their scales; curvature over the reference's."""
        found = network.evaluate(self.graph, train=True)
        weight = 1.0 / (self.frequencies + scale.frequency)
        error = self.curvature_error(network, found, amplitudes, scale.frequency)
        return {
            "curvature": (error**2).mean() / ((weight**2 * self.squares) ** 2).mean(),
            "rest": (found.gradient + self.labels.forces).square().mean() / scale.force**2,
            "tension": _deviation(found.stress, self.labels.stress).square().mean() / scale.stress**2,
            "zero": ((found.energy - self.labels.energy).sum() / len(found.gradient) / scale.energy).square(),
        }


class Targets:
    """Labelled frames, their graphs made once; those with the same title can be joined.

    Parameters
    ----------
    frames : sequence of Atoms
        Labelled.
    titles : sequence of str
        Of each; frames of one title have the same atoms.
    energies : mapping of int to float
        The atoms' own energies, eV.
    network : FastMACE
        The model, or one of the same hyperparameters, device and precision.
    """

    def __init__(
        self, frames: Sequence[Atoms], titles: Sequence[str], energies: Mapping[int, float], network: FastMACE
    ) -> None:
        self.titles = np.array(titles)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = list(pool.map(network.neighbours, frames))
            widths = {
                title: np.max([found[k].widths() for k in np.flatnonzero(self.titles == title)], axis=0)
                for title in np.unique(self.titles)
            }
            self.graphs = list(
                pool.map(lambda k: network.graph(found[k], widths=widths[self.titles[k]]), range(len(frames)))
            )
        own = np.array([get_labels(atoms).energy for atoms in frames])
        lowest = [float(own[self.titles == title].min()) for title in titles]
        self.labels = [
            _read_labels(atoms, graph, energies, least)
            for atoms, graph, least in zip(frames, self.graphs, lowest, strict=True)
        ]

    def joined(self, chosen: Sequence[int]) -> tuple[Graph, Labels]:
        """Join frames of one title."""
        graphs, labels = [self.graphs[k] for k in chosen], [self.labels[k] for k in chosen]
        return join(graphs), Labels(
            torch.cat([each.energy for each in labels]),
            join_atoms(graphs[0].groups, [each.forces for each in labels]),
            torch.cat([each.stress for each in labels]),
            torch.cat([each.excess for each in labels]),
        )


def errors(network: FastMACE, graph: Graph, labels: Labels, scale: Scales, train: bool = True) -> dict[str, Tensor]:
    """Compute the squared errors per cell, over their scales; forces over their mean square."""
    found = network.evaluate(graph, train)
    atoms = len(graph.onehot) // len(graph.volume)
    excess, deviation = labels.excess / atoms, (found.energy - labels.energy) / atoms

    def mean_forces(values: Tensor) -> Tensor:
        return graph.total(values.square()).mean(1) / atoms

    mean_stress = labels.stress.nan_to_num().square().mean((1, 2))
    return {
        "forces": mean_forces(found.gradient + labels.forces) / (mean_forces(labels.forces) + scale.force**2),
        "energy": deviation**2 / (scale.energy**2 + (LENIENCE * excess) ** 2),
        "stress": _deviation(found.stress, labels.stress).square().mean((1, 2))
        / (scale.stress**2 + LENIENCE**2 * mean_stress),
    }


def _deviation(found: Tensor, labels: Tensor) -> Tensor:
    """Return differences, none where there is no label."""
    return torch.where(labels.isnan(), 0.0, found - labels.nan_to_num())


WEIGHTS = {
    "curvature": 4.0,
    "rest": 0.05,
    "tension": 0.02,
    "zero": 0.005,
    "forces": 2.0,
    "energy": 0.01,
    "stress": 0.02,
}
LENIENCE = 0.1
"""Part of the energy over the lowest frame's, and of the stress, that is added in quadrature to their scales."""


def tempered(x: Tensor) -> Tensor:
    """Pseudo-Huber: `x` where small, its square root where large."""
    return (2.0 * (torch.sqrt(1.0 + x) - 1.0)).mean()
