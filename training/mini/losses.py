"""Losses at the minima, with curvature, and on labelled configurations.

At a minimum, the model's Hessian is multiplied with a random displacement by differentiating twice, and compared with
the reference in the metric of the frequencies: with the reference's modes ``E``, frequencies ``f`` and
``w = 1 / (|f| + f0)``, the loss is ``|w (E^T D E - f^2) w z|^2`` for ``z ~ N(0, 1)``, an unbiased estimate of a
weighted Frobenius norm in which soft modes count most.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass

import numpy as np
import torch
from ase import Atoms
from fast import Evaluation, FastMACE
from graph import Graph, join, join_atoms
from hessian import TO_THZ, Modes
from torch import Tensor

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


class Minimum:
    """The minimum of one framework with its reference modes, ready for Hessian-vector products."""

    def __init__(self, modes: Modes, fast: FastMACE) -> None:
        self.modes = modes
        self.graph = fast.graph(fast.neighbours(modes.atoms), curvature=True)
        order = self.graph.order.numpy(force=True)
        root = np.repeat(np.sqrt(modes.atoms.get_masses()), 3)
        rows = (3 * order[:, None] + np.arange(3)).ravel()
        self.to_cartesian = torch.as_tensor((modes.vectors / root[:, None])[rows]).to(self.graph.edges)
        self.frequencies = torch.as_tensor(np.abs(modes.frequencies)).to(self.graph.edges)
        self.squares = torch.as_tensor(modes.frequencies * np.abs(modes.frequencies)).to(self.graph.edges)

    def curvature_error(self, fast: FastMACE, found: Evaluation, amplitudes: Tensor, frequency: Scale) -> Tensor:
        """Error of the product of the Hessian with a displacement, in the metric of the frequencies.

        Parameters
        ----------
        fast : FastMACE
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
        product = fast.product(self.graph, found, (self.to_cartesian @ v).view(-1, 3))
        projected = (self.to_cartesian.T @ product.ravel()) * TO_THZ**2
        return weight * (projected - self.squares * v)

    def losses(self, fast: FastMACE, amplitudes: Tensor, scale: Scales) -> dict[str, Tensor]:
        """Compute the squared errors at the minimum, over their scales; curvature over the reference's."""
        found = fast.evaluate(self.graph, train=True)
        weight = 1.0 / (self.frequencies + scale.frequency)
        error = self.curvature_error(fast, found, amplitudes, scale.frequency)
        return {
            "curvature": (error**2).mean() / ((weight**2 * self.squares) ** 2).mean(),
            "rest": (found.gradient**2).mean() / scale.force**2,
            "tension": (found.stress**2).mean() / scale.stress**2,
            "zero": (found.energy.sum() / len(found.gradient) / scale.energy).square(),
        }


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
        eV/A^3.
    """

    energy: Tensor
    forces: Tensor
    stress: Tensor


class Targets:
    """Labelled configurations, their graphs made once; those of one framework can be joined.

    Parameters
    ----------
    frames : list of Atoms
        Labelled.
    energies : dict of int to float
        The atoms' own energies, eV.
    fast : FastMACE
        The model, or one of the same hyperparameters, device and precision.
    """

    def __init__(self, frames: list[Atoms], energies: dict[int, float], fast: FastMACE) -> None:
        self.names = np.array([a.info["name"] for a in frames])
        self.kinds = np.array([a.info["kind"] for a in frames])
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = list(pool.map(fast.neighbours, frames))
            widths = {
                name: np.max([found[k].widths() for k in np.flatnonzero(self.names == name)], axis=0)
                for name in np.unique(self.names)
            }
            self.graphs = list(
                pool.map(lambda k: fast.graph(found[k], widths=widths[self.names[k]]), range(len(frames)))
            )
        self.labels = []
        for atoms, graph in zip(frames, self.graphs, strict=True):
            order = graph.order.numpy(force=True)
            own = atoms.get_potential_energy() - sum(energies[z] for z in atoms.numbers)
            self.labels.append(
                Labels(
                    torch.tensor([own]).to(graph.edges),
                    torch.as_tensor(atoms.get_forces()[order]).to(graph.edges),
                    torch.as_tensor(atoms.get_stress(voigt=False)[None]).to(graph.edges),
                )
            )

    def joined(self, chosen: Sequence[int]) -> tuple[Graph, Labels]:
        """Join configurations of one framework."""
        graphs, labels = [self.graphs[k] for k in chosen], [self.labels[k] for k in chosen]
        return join(graphs), Labels(
            torch.cat([each.energy for each in labels]),
            join_atoms(graphs[0].groups, [each.forces for each in labels]),
            torch.cat([each.stress for each in labels]),
        )


def errors(fast: FastMACE, graph: Graph, labels: Labels, scale: Scales, train: bool = True) -> dict[str, Tensor]:
    """Compute the squared errors per cell, over their scales; forces over their mean square."""
    found = fast.evaluate(graph, train)
    atoms = len(graph.onehot) // len(graph.volume)
    own = labels.energy / atoms

    def mean_forces(values: Tensor) -> Tensor:
        return graph.total(values.square()).mean(1) / atoms

    mean_stress = labels.stress.square().mean((1, 2))
    return {
        "forces": mean_forces(found.gradient + labels.forces) / (mean_forces(labels.forces) + scale.force**2),
        "energy": (found.energy / atoms - own) ** 2 / (scale.energy**2 + (LENIENCE * own) ** 2),
        "stress": (found.stress - labels.stress).square().mean((1, 2)) / (scale.stress**2 + LENIENCE**2 * mean_stress),
    }


WEIGHTS = {
    "curvature": 4.0,
    "rest": 0.05,
    "tension": 0.02,
    "zero": 0.005,
    "forces": 2.0,
    "energy": 0.01,
    "stress": 0.02,
}
#: Part of a configuration's own energy and stress that is added in quadrature to their scales
LENIENCE = 0.1


def tempered(x: Tensor) -> Tensor:
    """Pseudo-Huber: `x` where small, its square root where large."""
    return (2.0 * (torch.sqrt(1.0 + x) - 1.0)).mean()
