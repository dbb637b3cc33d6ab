"""Real spherical harmonics as polynomials of the unit vector, with their derivatives."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend import jit_without_warning

Array = np.ndarray[Any, Any]

_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Harmonics:
    """Spherical harmonics up to a degree, in e3nn's order, signs and ``component`` normalisation.

    Attributes
    ----------
    exponents : ndarray, shape=(terms, 3)
        Powers of the unit vector's components in each monomial.
    coefficients : ndarray, shape=(terms, harmonics)
    """

    exponents: Array
    coefficients: Array

    def evaluate(self, unit: Array) -> tuple[Array, Array]:
        """Return harmonics and their derivatives by the components of the unit vector, these taken as independent.

        Parameters
        ----------
        unit : ndarray, shape=(edges, 3)

        Returns
        -------
        ndarray, shape=(edges, harmonics)
        ndarray, shape=(edges, harmonics, 3)
        """
        powers = self._powers(unit)
        first = [self._derivative(powers, (k,)) for k in range(3)]
        return self._derivative(powers, ()), np.stack(first, axis=-1)

    def curvature(self, unit: Array, weights: Array) -> Array:
        """Return the weighted sum of the harmonics' second derivatives by the components of the unit vector.

        Parameters
        ----------
        unit : ndarray, shape=(edges, 3)
        weights : ndarray, shape=(edges, harmonics)

        Returns
        -------
        ndarray, shape=(edges, 3, 3)
        """
        powers = self._powers(unit)
        out = np.empty((len(unit), 3, 3))
        for k, m in itertools.combinations_with_replacement(range(3), 2):
            out[:, k, m] = out[:, m, k] = np.einsum("el,el->e", weights, self._derivative(powers, (k, m)))
        return out

    def _powers(self, unit: Array) -> list[Array]:
        return [np.stack([unit[:, k] ** p for p in range(self.exponents.max() + 1)]) for k in range(3)]

    def _derivative(self, powers: list[Array], by: tuple[int, ...]) -> Array:
        exponents, factors = self.exponents.copy(), np.ones(len(self.exponents))
        for k in by:
            factors *= exponents[:, k]
            exponents[:, k] = np.maximum(exponents[:, k] - 1, 0)
        monomials = powers[0][exponents[:, 0]] * powers[1][exponents[:, 1]] * powers[2][exponents[:, 2]]
        derivative: Array = monomials.T @ (factors[:, None] * self.coefficients)
        return derivative


def tabulate_harmonics(degree: int) -> Harmonics:
    """Find the polynomials of e3nn's spherical harmonics from their values at some points."""
    import torch
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
    return Harmonics(np.array(exponents), coefficients)
