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
from fast import Evaluation, FastMACE, Graph
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

    def __init__(self, modes: Modes, fast: FastMACE) -> None:
        self.modes = modes
        self.graph = fast.graph(modes.atoms, curvature=True)
        root = np.repeat(np.sqrt(modes.atoms.get_masses()), 3)
        rows = (3 * self.graph.order[:, None] + np.arange(3)).ravel()
        self.to_cartesian = torch.as_tensor((modes.vectors / root[:, None])[rows]).to(self.graph.edges)
        self.frequencies = torch.as_tensor(np.abs(modes.frequencies)).to(self.graph.edges)
        self.squares = torch.as_tensor(modes.frequencies * np.abs(modes.frequencies)).to(self.graph.edges)

    def curvature_error(
        self, fast: FastMACE, found: Evaluation, generator: torch.Generator, frequency: float
    ) -> Tensor:
        """Error of the product of the Hessian with a random displacement, in the metric of the frequencies.

        Parameters
        ----------
        fast : FastMACE
            The model.
        found : Evaluation
            Of the minimum, made for training.
        generator : torch.Generator
            Draws the displacement.
        frequency : float
            f0 of the metric, THz.
        """
        weight = 1.0 / (self.frequencies + frequency)
        v = weight * torch.randn(len(weight), generator=generator)
        product = fast.product(self.graph, found, (self.to_cartesian @ v).view(-1, 3))
        projected = (self.to_cartesian.T @ product.ravel()) * TO_THZ**2
        return weight * (projected - self.squares * v)

    def losses(self, fast: FastMACE, generator: torch.Generator, scale: Scales) -> dict[str, Tensor]:
        """Compute the squared errors at the minimum, over their scales; curvature over the reference's."""
        found = fast.evaluate(self.graph, train=True)
        weight = 1.0 / (self.frequencies + scale.frequency)
        error = self.curvature_error(fast, found, generator, scale.frequency)
        return {
            "curvature": (error**2).mean() / ((weight**2 * self.squares) ** 2).mean(),
            "rest": (found.gradient**2).mean() / scale.force**2,
            "tension": (found.stress**2).mean() / scale.stress**2,
            "zero": (found.energy / len(found.gradient) / scale.energy).square(),
        }


class Targets:
    """Labelled configurations with the atoms' own energies taken off."""

    def __init__(self, frames: list[Atoms], energies: dict[int, float]) -> None:
        self.frames = frames
        self.energy = np.array([a.get_potential_energy() - sum(energies[z] for z in a.numbers) for a in frames])
        self.names = np.array([a.info["name"] for a in frames])
        self._graphs: dict[int, Graph] = {}

    def errors(self, fast: FastMACE, chosen: list[int], scale: Scales, train: bool = True) -> dict[str, Tensor]:
        """Compute the squared errors per configuration, over their scales; forces over their mean square."""
        rows = [self._error(fast, k, scale, train) for k in chosen]
        return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}

    def _error(self, fast: FastMACE, k: int, scale: Scales, train: bool) -> dict[str, Tensor]:
        atoms = self.frames[k]
        if k not in self._graphs:
            self._graphs[k] = fast.graph(atoms)
        graph = self._graphs[k]
        found = fast.evaluate(graph, train)
        forces = torch.as_tensor(atoms.get_forces()[graph.order]).to(graph.edges)
        stress = torch.as_tensor(atoms.get_stress(voigt=False)).to(graph.edges)
        own = float(self.energy[k]) / len(atoms)
        return {
            "forces": ((found.gradient + forces) ** 2).mean() / ((forces**2).mean() + scale.force**2),
            "energy": (found.energy / len(atoms) - own) ** 2 / (scale.energy**2 + (LENIENCE * own) ** 2),
            "stress": ((found.stress - stress) ** 2).mean() / (scale.stress**2 + LENIENCE**2 * (stress**2).mean()),
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
