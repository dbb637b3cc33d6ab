"""D3(BJ) dispersion as a term of its own, for models whose labels hold none."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.mixing import SumCalculator
from ase.units import Bohr

from ..calculator import MaceMOF
from ..checks import check_directions, check_displacements, check_structure
from ..devices import resolve_device
from ..errors import DispersionError, MissingExtraError
from .pairs import State, evaluate
from .response import respond_to_all, respond_to_atom

#: Pairs further apart than this are left out, Angstrom: torch-dftd's default. mace's own sum stops at 40 Bohr, which
#: binds MOF-5 (106 atoms) 6 meV less, so the cutoff is part of what a model is.
CUTOFF = 95.0 * Bohr

#: Cutoff of the coordination numbers, Angstrom: torch-dftd's default.
COORDINATION_CUTOFF = 40.0 * Bohr

Array = np.ndarray[Any, Any]

_HEAVIEST = 94
_CITATION = (
    "S. Grimme, J. Antony, S. Ehrlich, H. Krieg, J. Chem. Phys. 132, 154104 (2010); "
    "S. Grimme, S. Ehrlich, L. Goerigk, J. Comput. Chem. 32, 1456 (2011)"
)


class D3(Calculator):
    """Dispersion energy D3(BJ) with the parameters of PBE, from torch-dftd in double precision.

    Parameters
    ----------
    cutoff : float, optional
        Pairs further apart are left out, Angstrom.
    coordination_cutoff : float, optional
        The same for the coordination numbers, Angstrom.
    device : str, optional
        As in `mace_mof_calc.MaceMOF`.

    Raises
    ------
    MissingExtraError
        torch-dftd is not installed.
    DeviceError
        The device is not here.

    Notes
    -----
    ``energy`` and ``free_energy`` in eV, ``forces`` in eV/Angstrom, and, where all three axes are periodic, ``stress``
    in eV/Angstrom^3 (ASE's sign and Voigt order). No three-body term.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012  (ASE's way)
    has_linear_response = True

    def __init__(
        self, *, cutoff: float = CUTOFF, coordination_cutoff: float = COORDINATION_CUTOFF, device: str = "auto"
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # ASE's class has no annotations
        try:
            from torch_dftd.torch_dftd3_calculator import TorchDFTD3Calculator
        except ImportError as error:
            raise MissingExtraError(
                "torch-dftd is not installed",
                "It computes the D3 dispersion",
                'Install it with: pip install "mace-mof-calc[d3]"',
            ) from error
        import torch

        self.cutoff = cutoff
        self.coordination_cutoff = coordination_cutoff
        self._d3 = TorchDFTD3Calculator(
            damping="bj",
            xc="pbe",
            cutoff=cutoff,
            cnthr=coordination_cutoff,
            dtype=torch.float64,
            device=resolve_device(device),
        )
        self._last: tuple[Atoms, State] | None = None

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] | None = None,
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Compute all results of `atoms`, whichever of them are asked for."""
        atoms = check_structure(self.atoms if atoms is None else atoms, range(1, _HEAVIEST + 1), "D3")
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]  # ASE's class has no annotations
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Creating a tensor from a list", category=UserWarning)
            self._d3.calculate(atoms, ["energy", "forces", "stress"])
        energy = float(self._d3.results["energy"])
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": np.array(self._d3.results["forces"], dtype=float),
        }
        if atoms.pbc.all():
            self.results["stress"] = np.array(self._d3.results["stress"], dtype=float)

    def atom_response(self, atoms: Atoms, index: int, directions: Array) -> tuple[Array, Array, Array]:
        """Differentiate all forces along the displacement of one atom, exactly, in the crystal without end.

        Parameters, results and units are those of `mace_mof_calc.MaceMOF.atom_response`. Atoms change their forces up
        to the cutoff and twice that of the coordination numbers away. What belongs to the structure is kept for its
        other atoms.
        """
        return respond_to_atom(self._state(atoms), index, check_directions(index, directions, len(atoms)))

    def force_response(self, atoms: Atoms, displacements: Array) -> Array:
        """Differentiate all forces along displacements of the periodic structure, exactly.

        Parameters
        ----------
        atoms : Atoms
        displacements : ndarray, shape=(count, natoms, 3)
            In A; all periodic images move alike.

        Returns
        -------
        ndarray, shape=(count, natoms, 3)
            Product of the negative Hessian (eV/A^2) with the displacements, eV/A.
        """
        return respond_to_all(self._state(atoms), check_displacements(displacements, len(atoms)))

    def _state(self, atoms: Atoms) -> State:
        atoms = check_structure(atoms, range(1, _HEAVIEST + 1), "D3")
        if self._last is None or self._last[0] != atoms:
            self._last = None  # two states of a framework would be much to hold
            self._last = atoms.copy(), evaluate(self._d3.dftd_module, atoms)
        return self._last[1]

    def describe(self) -> str:
        """Say which dispersion this is, with its cutoffs."""
        return (
            f"D3(BJ), PBE, torch-dftd {version('torch-dftd')}, cutoff {self.cutoff / Bohr:g} Bohr, "
            f"coordination numbers {self.coordination_cutoff / Bohr:g} Bohr, no three-body term"
        )


class DispersionCorrected(SumCalculator):
    """Sum of a MACE model and D3(BJ) dispersion.

    Parameters
    ----------
    mace : MaceMOF
        The model.
    cutoff : float, optional
        Cutoff of the dispersion, Angstrom.

    Raises
    ------
    DispersionError
        The model has dispersion in it.
    MissingExtraError
        torch-dftd is not installed.

    Notes
    -----
    Results as in `D3`; the terms are in the results under ASE's names, ``energy_contributions`` and so on, MACE first.
    Linear response is offered where the MACE model offers it.
    """

    def __init__(self, mace: MaceMOF, *, cutoff: float = CUTOFF) -> None:
        for member in mace.loaded:
            if member.card is not None and member.card.dispersion_included:
                raise DispersionError(
                    f"D3 dispersion on top of {member.name} is refused",
                    f"The model was trained on {member.card.level_of_theory}, so dispersion would count twice",
                    "Use the model as it is",
                )
        self.mace = mace
        self.d3 = D3(cutoff=cutoff, device=str(mace.device))
        super().__init__([mace, self.d3])  # type: ignore[no-untyped-call]  # ASE's class has no annotations
        # ASE's list is what both terms have, in the order of a set, which differs from run to run.
        self.implemented_properties = list(D3.implemented_properties)

    @property
    def has_linear_response(self) -> bool:
        """Whether `atom_response` is there: the dispersion always has it, the MACE model not in all settings."""
        return self.mace.has_linear_response

    def atom_response(self, atoms: Atoms, index: int, directions: Array) -> tuple[Array, Array, Array]:
        """Differentiate all forces along the displacement of one atom, exactly, in the crystal without end.

        Parameters, errors and units are those of `mace_mof_calc.MaceMOF.atom_response`. The nodes of MACE come first,
        those of the dispersion follow: an atom near the displaced one is there twice, and its response is the sum.
        """
        mace, dispersion = (term.atom_response(atoms, index, directions) for term in (self.mace, self.d3))
        return (
            np.concatenate([mace[0], dispersion[0]]),
            np.concatenate([mace[1], dispersion[1]]),
            np.concatenate([mace[2], dispersion[2]], axis=1),
        )

    def force_response(self, atoms: Atoms, displacements: Array) -> Array:
        """Differentiate all forces along displacements of the periodic structure; see `D3.force_response`."""
        response: Array = self.mace.force_response(atoms, displacements) + self.d3.force_response(atoms, displacements)
        return response

    @property
    def domain_checks(self) -> tuple[str, ...]:
        """What `check_domain` looks for."""
        return self.mace.domain_checks

    def check_domain(self, atoms: Atoms) -> tuple[dict[str, Any], ...]:
        """Find what is outside of the MACE model's training; see `mace_mof_calc.MaceMOF.check_domain`."""
        return self.mace.check_domain(atoms)

    def describe(self) -> dict[str, Any]:
        """Say what this calculator is, as plain data; keys as in `mace_mof_calc.MaceMOF.describe`."""
        described = self.mace.describe()
        return {
            **described,
            "name": f"{described['name']}-d3",
            "level_of_theory": f"{described['level_of_theory']} + D3(BJ)",
            "dispersion": self.d3.describe(),
            "citation": f"{described['citation']}; {_CITATION}",
            "versions": {**described["versions"], "torch-dftd": version("torch-dftd")},
        }

    def _get_name(self) -> str:
        return f"{self.mace.name}-d3"
