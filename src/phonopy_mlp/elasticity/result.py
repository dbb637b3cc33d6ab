"""Elastic constants and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import spglib
from ase import Atoms
from ase.units import GPa, kg, m
from scipy.linalg import polar

from phonopy_mlp.arrays import Array, frozen
from phonopy_mlp.elasticity import tensor
from phonopy_mlp.errors import StructureError
from phonopy_mlp.symmetry import SpaceGroup, find_space_group, find_symmetry

_GRAM_PER_CM3 = 1e3 * kg / m**3


@dataclass(frozen=True, slots=True)
class Moduli:
    """Isotropic moduli of a polycrystal.

    Attributes
    ----------
    bulk, shear, young : float
        In GPa.
    poisson : float
        Poisson's ratio.

    """

    bulk: float
    shear: float

    @property
    def young(self) -> float:
        """Young's modulus in GPa."""
        return 9 * self.bulk * self.shear / (3 * self.bulk + self.shear)

    @property
    def poisson(self) -> float:
        """Poisson's ratio."""
        return (3 * self.bulk - 2 * self.shear) / (6 * self.bulk + 2 * self.shear)


@dataclass(frozen=True, slots=True)
class ElasticResult:
    """Elastic constants of a crystal at rest, its atoms relaxed within the strained cell.

    All tensors are in the Cartesian frame of the cell as given, except where a name says otherwise, and in Voigt order
    xx, yy, zz, yz, xz, xy with shear strains twice the tensor's components.

    Attributes
    ----------
    stiffness : ndarray
        In GPa, symmetric, with the symmetry of the crystal, read-only. shape=(6, 6)
    method : str
        ``stress-strain`` or ``long waves``.
    independent : int
        Number of constants that the point group leaves free.
    projection_change : float
        Largest change of a constant (GPa) by averaging over the point group.
    fit_residual : float
        Root mean square (GPa) of what 21 constants cannot describe, before that averaging: the antisymmetric part of
        stress over strain, or Christoffel matrices that belong to no elastic tensor. Symmetry can leave neither of them
        any room: the latter are 0 in cubic crystals, whatever else is wrong.
    residual_stress : float or None
        Largest component of the unstrained crystal's stress in GPa. None where it is not known.
    density : float
        In g/cm^3.
    space_group : SpaceGroup
        What the averaging went by.
    standard_rotation : ndarray
        Takes vectors of the cell as given to the frame of `standard_stiffness`, read-only. shape=(3, 3)

    """

    stiffness: Array
    method: str
    independent: int
    projection_change: float
    fit_residual: float
    residual_stress: float | None
    density: float
    space_group: SpaceGroup
    standard_rotation: Array

    @property
    def standard_stiffness(self) -> Array:
        """Stiffness in GPa with the axes of spglib's standardised conventional cell, shape=(6, 6).

        It has x along a, and z along the reciprocal c: in a cubic crystal C11, C12 and C44 are where they are expected.
        """
        return tensor.rotate(self.stiffness, self.standard_rotation)

    @property
    def eigenvalues(self) -> Array:
        """Eigenvalues in GPa of stiffness as a map of strain on stress, ascending, the same in every frame. shape=(6,).

        Of a cubic crystal they are C11 + 2 C12, twice C11 - C12, and three times 2 C44.
        """
        return tensor.kelvin_eigenvalues(self.stiffness)

    @property
    def born_stable(self) -> bool:
        """Whether every small strain costs energy: Born's criteria of any crystal system in one.

        F. Mouhat and F.-X. Coudert, Phys. Rev. B 90, 224104 (2014), have them one by one.
        """
        return bool(self.eigenvalues[0] > 0)

    @property
    def compliance(self) -> Array:
        """Inverse of `stiffness` in 1/GPa, shape=(6, 6).

        Raises
        ------
        StructureError
            The crystal is not stable, so that stresses determine no strain.

        """
        if not self.born_stable:
            raise StructureError(
                "A compliance of a crystal that is not elastically stable",
                f"the lowest eigenvalue of its stiffness is {self.eigenvalues[0]:.4g} GPa",
                "Stabilise the structure first",
            )
        inverse: Array = np.linalg.inv(self.stiffness)
        return inverse

    @property
    def voigt(self) -> Moduli:
        """Voigt's averages, of uniform strain: upper bounds."""
        return Moduli(*tensor.isotropic_part(tensor.to_tensor(self.stiffness)))

    @property
    def reuss(self) -> Moduli:
        """Reuss's averages, of uniform stress: lower bounds. Raises as `compliance` does."""
        bulk, shear = tensor.isotropic_part(tensor.compliance_tensor(self.compliance))
        return Moduli(1 / (9 * bulk), 1 / (4 * shear))

    @property
    def hill(self) -> Moduli:
        """Hill's averages, the means of Voigt's and Reuss's bulk and shear moduli. Raises as `compliance` does."""
        voigt, reuss = self.voigt, self.reuss
        return Moduli((voigt.bulk + reuss.bulk) / 2, (voigt.shear + reuss.shear) / 2)

    @property
    def universal_anisotropy(self) -> float:
        """A^U, 0 for an isotropic crystal. Raises as `compliance` does.

        S. I. Ranganathan and M. Ostoja-Starzewski, Phys. Rev. Lett. 101, 055504 (2008).
        """
        voigt, reuss = self.voigt, self.reuss
        return 5 * voigt.shear / reuss.shear + voigt.bulk / reuss.bulk - 6

    def describe(self) -> Mapping[str, Any]:
        """Return the result as plain data: GPa, g/cm^3, and vectors as rows; averages where the crystal is stable."""
        averages = {}
        if self.born_stable:
            for name, moduli in (("voigt", self.voigt), ("reuss", self.reuss), ("hill", self.hill)):
                averages[name] = {
                    "bulk_modulus": moduli.bulk,
                    "shear_modulus": moduli.shear,
                    "young_modulus": moduli.young,
                    "poisson_ratio": moduli.poisson,
                }
        return {
            "method": self.method,
            "space_group": str(self.space_group),
            "independent_constants": self.independent,
            "stiffness": self.stiffness.tolist(),
            "stiffness_in_standard_axes": self.standard_stiffness.tolist(),
            "rotation_to_standard_axes": self.standard_rotation.tolist(),
            "eigenvalues": self.eigenvalues.tolist(),
            "born_stable": self.born_stable,
            **averages,
            "universal_anisotropy": self.universal_anisotropy if self.born_stable else None,
            "density": self.density,
            "changed_by_symmetry": self.projection_change,
            "fit_residual": self.fit_residual,
            "residual_stress": self.residual_stress,
        }

    def young_moduli(self, directions: Array) -> Array:
        """Return Young's modulus in GPa along some directions, shape=(..., 3) to (...). Raises as `compliance` does."""
        n = _unit(directions)
        moduli: Array = 1 / np.einsum(
            "ijkl,...i,...j,...k,...l->...", tensor.compliance_tensor(self.compliance), n, n, n, n
        )
        return moduli

    def linear_compressibilities(self, directions: Array) -> Array:
        """Return the shortening per hydrostatic pressure (1/GPa) along some directions, shape=(..., 3) to (...).

        Over three orthogonal directions they add up to 1 / `reuss.bulk`. Raises as `compliance` does.
        """
        n = _unit(directions)
        shortening: Array = np.einsum("ijkk,...i,...j->...", tensor.compliance_tensor(self.compliance), n, n)
        return shortening

    def sound_velocities(self, directions: Array) -> Array:
        """Return velocities of sound in km/s, ascending; negative where a wave grows instead of travelling.

        Parameters
        ----------
        directions : ndarray
            Of propagation, of any length. shape=(directions, 3)

        Returns
        -------
        ndarray
            shape=(directions, 3)

        """
        squares = np.linalg.eigvalsh(tensor.christoffel(self.stiffness, _unit(directions))) / self.density
        velocities: Array = np.sign(squares) * np.sqrt(np.abs(squares))
        return velocities


def make_result(
    stiffness: Array, atoms: Atoms, *, method: str, fit_residual: float, residual_stress: float | None, symprec: float
) -> ElasticResult:
    """Return the result of a stiffness matrix as computed, averaged over the point group.

    Parameters
    ----------
    stiffness : ndarray
        In GPa, symmetric. shape=(6, 6)
    atoms : Atoms
        The crystal it belongs to.
    method : str
        How it was computed.
    fit_residual : float
        In GPa.
    residual_stress : float or None
        In GPa.
    symprec : float
        Tolerance (A) at which the point group is found.

    """
    dataset = find_symmetry(atoms, symprec)
    # Where the symmetry holds within a tolerance alone, the matrix is not quite orthogonal.
    to_standard = polar(dataset.std_rotation_matrix)[0]
    # The operations of the space group, for those of a supercell lack what its shape lacks.
    space_group = spglib.get_symmetry_from_database(dataset.hall_number)
    assert space_group is not None
    fractional = np.unique(space_group["rotations"], axis=0)
    lattice = dataset.std_lattice.T
    operations = to_standard.T @ lattice @ fractional @ np.linalg.inv(lattice) @ to_standard
    projected = tensor.project(stiffness, operations)
    projected = (projected + projected.T) / 2
    return ElasticResult(
        stiffness=frozen(projected),
        method=method,
        independent=tensor.count_independent(operations),
        projection_change=float(np.abs(projected - stiffness).max()),
        fit_residual=fit_residual,
        residual_stress=residual_stress,
        density=float(atoms.get_masses().sum() / atoms.get_volume() / _GRAM_PER_CM3),
        space_group=find_space_group(atoms, symprec),
        standard_rotation=frozen(to_standard),
    )


def largest_in_gpa(stress: Array) -> float:
    """Return the largest component of a stress in GPa, from eV/A^3."""
    return float(np.abs(stress).max() / GPa)


def _unit(directions: Array) -> Array:
    vectors = np.asarray(directions, dtype=float)
    unit: Array = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit
