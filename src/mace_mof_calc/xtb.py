"""GFN1-xTB through tblite."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.data import chemical_symbols
from numpy.typing import NDArray

from .checks import check_structure
from .errors import MissingExtraError
from .models.cards import GFN1_ELEMENTS

__all__ = ["NARROW", "GFN1xTB", "GammaPointWarning", "describe_narrow"]

#: Periodic cells narrower than this along an axis are beyond Gamma-point sampling, Angstrom.
NARROW = 10.0


class GammaPointWarning(UserWarning):
    """A cell is too narrow for a method that samples the Gamma point alone."""


class GFN1xTB(Calculator):
    """GFN1-xTB, the semiempirical tight-binding method, from tblite.

    Parameters
    ----------
    accuracy : float, optional
        tblite's accuracy. Its own default, 1, leaves noise in the forces that finite displacements would see.
    electronic_temperature : float, optional
        Temperature of the electrons, K.
    max_iterations : int, optional
        Largest number of iterations to self-consistency.

    Raises
    ------
    MissingExtraError
        tblite is not installed.

    Warns
    -----
    GammaPointWarning
        Once per calculator, when a periodic cell is narrower than 10 Angstrom along an axis: tblite has no k-points.

    Notes
    -----
    Results in float64: ``energy`` and ``free_energy`` (eV, the same number, with the electrons' entropy in it),
    ``energies`` (eV, ``shape=(natoms,)``), ``forces`` (eV/Angstrom, ``shape=(natoms, 3)``), and, where all three axes
    are periodic, ``stress`` (eV/Angstrom^3, ``shape=(6,)``, ASE's sign and Voigt order).

    The iterations start from the density of the structure before, as long as the elements are the same, so results
    depend on what was calculated before, within the noise above. Where they do not converge, ASE's `CalculationFailed`
    is raised. Take 0.01 Angstrom, not less, for finite displacements.
    """

    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress"]  # noqa: RUF012  (ASE's way)
    default_parameters = {  # noqa: RUF012  (ASE's way)
        "accuracy": 0.01,
        "electronic_temperature": 300.0,
        "max_iterations": 250,
    }

    def __init__(
        self, *, accuracy: float = 0.01, electronic_temperature: float = 300.0, max_iterations: int = 250
    ) -> None:
        super().__init__(  # type: ignore[no-untyped-call]  # ASE's class has no annotations
            accuracy=accuracy, electronic_temperature=electronic_temperature, max_iterations=max_iterations
        )
        self._warned = False
        self._tblite = self._new_tblite()

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] | None = None,
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Compute all results of `atoms`, whichever of them are asked for."""
        atoms = check_structure(self.atoms if atoms is None else atoms, range(1, GFN1_ELEMENTS + 1), "GFN1-xTB")
        self._warn_if_narrow(atoms)
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]  # ASE's class has no annotations
        try:
            self._tblite.get_property("energy", self.atoms)
        except Exception:
            self._tblite = self._new_tblite()  # or the next structure would start from the density that went astray
            raise
        found = self._tblite.results
        self.results = {
            "energy": float(found["energy"]),
            "free_energy": float(found["energy"]),
            "energies": np.array(found["energies"], dtype=float),
            "forces": np.array(found["forces"], dtype=float),
        }
        if atoms.pbc.all():
            self.results["stress"] = np.array(found["stress"], dtype=float)

    def describe(self) -> dict[str, Any]:
        """Say what this calculator is, as plain data; keys as in `mace_mof_calc.MaceMOF.describe`."""
        return {
            "name": "gfn1-xtb",
            "digest": None,
            "head": None,
            "elements": tuple(chemical_symbols[1 : GFN1_ELEMENTS + 1]),
            "level_of_theory": f"GFN1-xTB, Gamma point only, accuracy {self.parameters['accuracy']:g}",
            "dispersion": "in the method (D3(BJ))",
            "device": "cpu",
            "dtype": "float64",
            "licence": "LGPL-3.0-or-later (tblite)",
            "citation": "S. Grimme, C. Bannwarth, P. Shushkov, J. Chem. Theory Comput. 13, 1989 (2017)",
            "force_noise": 2e-6,
            "versions": {name: version(name) for name in ("mace-mof-calc", "tblite", "ase", "numpy")},
        }

    def set(self, **kwargs: Any) -> dict[str, Any]:
        """Change parameters; the next calculation starts afresh where any of them is new."""
        changed: dict[str, Any] = super().set(**kwargs)  # type: ignore[no-untyped-call]  # ASE's class has no annotations
        if changed:
            self.reset()  # type: ignore[no-untyped-call]  # ASE's class has no annotations
            self._tblite = self._new_tblite()
        return changed

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle as parameters; tblite's own objects live outside Python."""
        return partial(type(self), **self.parameters), ()

    def _new_tblite(self) -> Any:
        try:
            from tblite.ase import TBLite
        except ImportError as error:
            raise MissingExtraError(
                "tblite is not installed", "It computes GFN1-xTB", 'Install it with: pip install "mace-mof-calc[xtb]"'
            ) from error
        return TBLite(method="GFN1-xTB", verbosity=0, **self.parameters)

    def _warn_if_narrow(self, atoms: Atoms) -> None:
        if not self._warned and (message := describe_narrow(atoms)):
            self._warned = True
            warnings.warn(message, GammaPointWarning, stacklevel=2)

    def _get_name(self) -> str:
        return "gfn1-xtb"


def describe_narrow(atoms: Atoms) -> str:
    """Say that a cell is too narrow for the Gamma point alone; return nothing where it is not."""
    widths = _periodic_widths(atoms)
    if not (widths < NARROW).any():
        return ""
    return (
        f"The cell is {widths.min():.1f} Angstrom wide along a periodic axis. GFN1-xTB samples the Gamma point "
        f"alone here, which is too little below {NARROW:g} Angstrom; repeat the cell along that axis."
    )


def _periodic_widths(atoms: Atoms) -> NDArray[np.float64]:
    """Distances between opposite faces of the cell, Angstrom, for the periodic axes only."""
    # The rows of the reciprocal cell are normal to the faces and as long as one over the distance.
    widths = 1.0 / np.linalg.norm(atoms.cell.complete().reciprocal().array, axis=1)
    return np.asarray(widths[atoms.pbc])
