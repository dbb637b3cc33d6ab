"""Losses at the minima, with curvature, and on labelled configurations.

At a minimum, the model's Hessian is multiplied with a random displacement by differentiating twice, and compared with
the reference in the metric of the frequencies: with the reference's modes ``E``, frequencies ``f`` and
``w = 1 / (|f| + f0)``, the loss is ``|w (E^T D E - f^2) w z|^2`` for ``z ~ N(0, 1)``, an unbiased estimate of a
weighted Frobenius norm in which soft modes count most.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
import torch
from ase import Atoms
from fast import FastMACE, Graph, build_graph
from hessian import TO_THZ, Modes
from torch import Tensor


@dataclass(frozen=True)
class Scales:
    """What errors are measured against.

    The metric of the frequencies is ill-conditioned (a stiff mode may hold a thousand times the curvature of a soft
    one), and a
    network that starts there learns next to nothing. So training starts with scales at which the stiff part counts, and
    tightens them.

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

    frequency: float
    force: float
    energy: float
    stress: float


LOOSE, TIGHT = Scales(30.0, 0.3, 0.05, 5e-3), Scales(1.5, 0.01, 0.001, 2e-4)


def scales(progress: float) -> Scales:
    """Scales at a progress between 0 and 1."""
    p = min(1.0, max(0.0, progress))
    return Scales(*(a ** (1 - p) * b**p for a, b in zip(astuple(LOOSE), astuple(TIGHT), strict=True)))


class Minimum:
    """The minimum of one framework with its reference modes, ready for Hessian-vector products."""

    def __init__(self, modes: Modes, numbers: list[int], r_max: float) -> None:
        self.modes = modes
        self.graph = build_graph([modes.atoms], numbers, r_max)
        order = self.graph.order.numpy()
        root = np.repeat(np.sqrt(modes.atoms.get_masses()), 3)
        rows = (3 * order[:, None] + np.arange(3)).ravel()
        to_cartesian = (modes.vectors / root[:, None])[rows]
        self.to_cartesian = torch.as_tensor(to_cartesian, dtype=torch.get_default_dtype())
        self.frequencies = torch.as_tensor(np.abs(modes.frequencies), dtype=torch.get_default_dtype())
        squares = modes.frequencies * np.abs(modes.frequencies)
        self.squares = torch.as_tensor(squares, dtype=torch.get_default_dtype())

    def curvature_error(
        self, gradient: Tensor, positions: Tensor, generator: torch.Generator, frequency: float
    ) -> Tensor:
        """Error of the product of the Hessian with a random displacement, in the metric of the frequencies.

        Parameters
        ----------
        gradient, positions : Tensor
            Gradient of the energy by the positions, with its graph.
        generator : torch.Generator
            Draws the displacement.
        frequency : float
            f0 of the metric, THz.
        """
        weight = 1.0 / (self.frequencies + frequency)
        v = weight * torch.randn(len(weight), generator=generator)
        along = (gradient.ravel() * (self.to_cartesian @ v)).sum()
        product = torch.autograd.grad(along, positions, create_graph=True)[0]
        projected = (self.to_cartesian.T @ product.ravel()) * TO_THZ**2
        return weight * (projected - self.squares * v)

    def losses(self, fast: FastMACE, generator: torch.Generator, scale: Scales) -> dict[str, Tensor]:
        """Compute the squared errors at the minimum, over their scales; curvature over the reference's."""
        p = self.graph.positions.clone().requires_grad_(True)
        eps = torch.zeros((1, 3, 3), requires_grad=True)
        energy = fast.energy(self.graph, p, 0.5 * (eps + eps.transpose(1, 2)))
        gradient, virial = torch.autograd.grad(energy.sum(), (p, eps), create_graph=True)
        weight = 1.0 / (self.frequencies + scale.frequency)
        error = self.curvature_error(gradient, p, generator, scale.frequency)
        return {
            "curvature": (error**2).mean() / ((weight**2 * self.squares) ** 2).mean(),
            "rest": (gradient**2).mean() / scale.force**2,
            "tension": ((virial / self.graph.volume) ** 2).mean() / scale.stress**2,
            "zero": (energy / len(p) / scale.energy).square().mean(),
        }


class Targets:
    """Labelled configurations with the atoms' own energies taken off."""

    def __init__(self, frames: list[Atoms], energies: dict[int, float]) -> None:
        self.frames = frames
        self.energy = np.array([a.get_potential_energy() - sum(energies[z] for z in a.numbers) for a in frames])
        self.names = np.array([a.info["name"] for a in frames])

    def predict(self, fast: FastMACE, chosen: list[int], train: bool) -> tuple[Graph, Tensor, Tensor, Tensor]:
        """Energies (eV), forces (eV/A, the graph's order) and stresses (eV/A^3, ``(ncell, 3, 3)``)."""
        graph = build_graph([self.frames[k] for k in chosen], fast.numbers, fast.r_max)
        p = graph.positions.requires_grad_(True)
        eps = torch.zeros((len(chosen), 3, 3), dtype=p.dtype, requires_grad=True)
        energy = fast.energy(graph, p, 0.5 * (eps + eps.transpose(1, 2)))
        gradient, virial = torch.autograd.grad(energy.sum(), (p, eps), create_graph=train)
        return graph, energy, -gradient, virial / graph.volume[:, None, None]

    def errors(self, fast: FastMACE, chosen: list[int], scale: Scales, train: bool = True) -> dict[str, Tensor]:
        """Compute the squared errors per configuration, over their scales; forces over their mean square."""
        graph, energy, forces, stress = self.predict(fast, chosen, train)
        frames = [self.frames[k] for k in chosen]
        reference = torch.as_tensor(np.concatenate([a.get_forces() for a in frames])[graph.order.numpy()]).to(forces)
        wanted = torch.as_tensor(np.array([a.get_stress(voigt=False) for a in frames])).to(stress)
        zeros = torch.zeros(len(chosen), dtype=forces.dtype)
        miss = zeros.index_add(0, graph.batch, ((forces - reference) ** 2).sum(1)) / (3 * graph.counts)
        size = zeros.index_add(0, graph.batch, (reference**2).sum(1)) / (3 * graph.counts)
        own = torch.as_tensor(self.energy[chosen]).to(energy) / graph.counts
        de = energy / graph.counts - own
        return {
            "forces": miss / (size + scale.force**2),
            "energy": de**2 / (scale.energy**2 + (LENIENCE * own) ** 2),
            "stress": ((stress - wanted) ** 2).mean((1, 2))
            / (scale.stress**2 + LENIENCE**2 * (wanted**2).mean((1, 2))),
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
