"""Real spherical harmonics as polynomials of the unit vector, with their derivatives."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..backend import jit_without_warning

_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Harmonics:
    """Spherical harmonics up to a degree, in e3nn's order, signs and ``component`` normalisation.

    Attributes
    ----------
    exponents : Tensor, shape=(terms, 3), dtype=int64
        Powers of the unit vector's components in each monomial.
    coefficients : Tensor, shape=(terms, harmonics), dtype=float64
    """

    exponents: Tensor
    coefficients: Tensor

    def evaluate(self, unit: Tensor) -> tuple[Tensor, Tensor]:
        """Return harmonics and their derivatives by the components of the unit vector, these taken as independent.

        Parameters
        ----------
        unit : Tensor, shape=(edges, 3)

        Returns
        -------
        Tensor, shape=(edges, harmonics)
        Tensor, shape=(edges, harmonics, 3)
        """
        powers = self._powers(unit)
        first = [self._derivative(powers, (k,)) for k in range(3)]
        return self._derivative(powers, ()), torch.stack(first, dim=-1)

    def curvature(self, unit: Tensor, weights: Tensor) -> Tensor:
        """Return the weighted sum of the harmonics' second derivatives by the components of the unit vector.

        Parameters
        ----------
        unit : Tensor, shape=(edges, 3)
        weights : Tensor, shape=(edges, harmonics)

        Returns
        -------
        Tensor, shape=(edges, 3, 3)
        """
        powers = self._powers(unit)
        out = unit.new_empty((len(unit), 3, 3))
        for k, m in itertools.combinations_with_replacement(range(3), 2):
            out[:, k, m] = out[:, m, k] = torch.einsum("el,el->e", weights, self._derivative(powers, (k, m)))
        return out

    def _powers(self, unit: Tensor) -> list[Tensor]:
        highest = int(self.exponents.max())
        return [torch.stack([unit[:, k] ** p for p in range(highest + 1)]) for k in range(3)]

    def _derivative(self, powers: list[Tensor], by: tuple[int, ...]) -> Tensor:
        exponents, factors = self.exponents.clone(), torch.ones_like(self.coefficients[:, 0])
        for k in by:
            factors *= exponents[:, k]
            exponents[:, k] = (exponents[:, k] - 1).clamp(min=0)
        monomials = powers[0][exponents[:, 0]] * powers[1][exponents[:, 1]] * powers[2][exponents[:, 2]]
        return monomials.T @ (factors[:, None] * self.coefficients)


def tabulate_harmonics(degree: int) -> Harmonics:
    """Find the polynomials of e3nn's spherical harmonics from their values at some points."""
    from e3nn import o3

    rng = np.random.default_rng(0)
    unit = rng.standard_normal((20 * (degree + 1) ** 2, 3))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    exponents, blocks = [], []
    for n in range(degree + 1):
        own = [powers for powers in itertools.product(range(n + 1), repeat=3) if sum(powers) == n]
        with jit_without_warning():
            values = o3.spherical_harmonics(n, torch.as_tensor(unit), normalize=True, normalization="component").numpy()
        monomials = np.stack([np.prod(unit ** np.array(powers), axis=1) for powers in own], axis=1)
        solution = np.linalg.lstsq(monomials, values, rcond=None)[0]
        blocks.append(np.where(np.abs(solution) > _ROUNDING, solution, 0.0))
        exponents += own
    coefficients = np.zeros((len(exponents), (degree + 1) ** 2))
    row = column = 0
    for block in blocks:
        coefficients[row : row + block.shape[0], column : column + block.shape[1]] = block
        row, column = row + block.shape[0], column + block.shape[1]
    return Harmonics(torch.as_tensor(np.array(exponents)), torch.as_tensor(coefficients))
