"""Fingerprints: what the real models give for MOF-5, to check an installation and its weights against.

The published models are checked on MOF-5 as each of them relaxes it (space group 225), where forces vanish and the
energy is known; a packed model on what was recorded when it was made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..errors import ModelFileError, UnknownModelError
from .cards import CARDS
from .own import find_own, list_own
from .packed import Fingerprint, read_packed, write_fingerprint
from .weights import resolve

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import BaseCalculator

__all__ = [
    "ENERGY_TOLERANCE",
    "FORCE_TOLERANCE",
    "MOF5",
    "RelaxedMOF5",
    "Verification",
    "make_mof5",
    "record_fingerprint",
    "verify",
]

#: Largest deviation of the energy of the cell, eV.
ENERGY_TOLERANCE = 1e-3

#: Largest deviation of the largest force, eV/Angstrom.
FORCE_TOLERANCE = 1e-4

_SYMBOLS = ("Zn", "O", "O", "C", "C", "C", "H")
_NATOMS = 106
_D3_CUTOFFS = (40.0, 95.0)  # Bohr; of mace's own sum and of torch-dftd


@dataclass(frozen=True, slots=True)
class RelaxedMOF5:
    """MOF-5 at the minimum of a model.

    Attributes
    ----------
    a : float
        Edge of the conventional cell in Angstrom.
    sites : tuple of tuple of float
        Fractional coordinates, one site per row: Zn 32f, O 8c, O 96k, C 48g, C 48g, C 96k, H 96k of space group 225.
    energy : float
        Energy of the 106-atom primitive cell in eV.
    """

    a: float
    sites: tuple[tuple[float, float, float], ...]
    energy: float


_Q = 0.25
#: MOF-5 at the minimum of each published model.
MOF5: Mapping[str, RelaxedMOF5] = MappingProxyType(
    {
        "mof0": RelaxedMOF5(
            a=26.05517899652,
            sites=(
                (0.2935063188, 0.2064936812, 0.7935063188),
                (_Q, _Q, 0.75),
                (0.2809131894, 0.2190868106, 0.8667974000),
                (_Q, _Q, 0.8889767912),
                (_Q, _Q, 0.9463617889),
                (0.2829542220, 0.2170457780, 0.9733186345),
                (0.3082743731, 0.1917256269, 0.9517748845),
            ),
            energy=-726.8044131787,
        ),
        "mof0-v2": RelaxedMOF5(
            a=26.06109360993,
            sites=(
                (0.2935069107, 0.2064930893, 0.7935069107),
                (_Q, _Q, 0.75),
                (0.2809053570, 0.2190946430, 0.8667952729),
                (_Q, _Q, 0.8889754079),
                (_Q, _Q, 0.9463575009),
                (0.2829414797, 0.2170585203, 0.9733241815),
                (0.3082625492, 0.1917374508, 0.9518023616),
            ),
            energy=-726.7807537654,
        ),
        "mp-0b-d3": RelaxedMOF5(
            a=26.03851408086,
            sites=(
                (0.2938516352, 0.2061483648, 0.7938516352),
                (_Q, _Q, 0.75),
                (0.2810387010, 0.2189612990, 0.8668401506),
                (_Q, _Q, 0.8890860026),
                (_Q, _Q, 0.9464138301),
                (0.2828538592, 0.2171461408, 0.9733459042),
                (0.3083436198, 0.1916563802, 0.9521668698),
            ),
            energy=-722.0448457094,
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Verification:
    """Outcome of a comparison with a fingerprint.

    Attributes
    ----------
    name : str
        Registered name.
    structure : str
        What was computed.
    energy, expected_energy : float
        Energy of the cell in eV, found and expected.
    max_force, expected_max_force : float
        Length of the longest force vector in eV/Angstrom, found and expected.
    settings : str
        Settings that the fingerprint holds for, where the model leaves a choice.
    """

    name: str
    structure: str
    energy: float
    expected_energy: float
    max_force: float
    expected_max_force: float
    settings: str = ""

    @property
    def passed(self) -> bool:
        """Whether energy and forces agree within `ENERGY_TOLERANCE` and `FORCE_TOLERANCE`."""
        return (
            abs(self.energy - self.expected_energy) <= ENERGY_TOLERANCE
            and abs(self.max_force - self.expected_max_force) <= FORCE_TOLERANCE
        )


def make_mof5(name: str) -> Atoms:
    """Make the primitive cell of MOF-5 at the minimum of a published model.

    Parameters
    ----------
    name : {'mof0', 'mof0-v2', 'mp-0b-d3'}
        The model.

    Returns
    -------
    Atoms
        106 atoms, lengths in Angstrom.
    """
    from ase.spacegroup import crystal

    relaxed = MOF5[name]
    atoms: Atoms = crystal(
        _SYMBOLS,
        basis=relaxed.sites,
        spacegroup=225,
        cellpar=[relaxed.a, relaxed.a, relaxed.a, 90, 90, 90],
        primitive_cell=True,
    )
    assert len(atoms) == _NATOMS
    return atoms


def verify(name: str, *, device: str = "auto") -> Verification:
    """Compute the fingerprint of a model and compare.

    Parameters
    ----------
    name : str
        ``mof0``, ``mof0-v2``, ``mp-0b-d3``, a model that ships with this package, or one of the user's own.
    device : str, optional
        As in `MaceMOF`. The precision is float64.

    Returns
    -------
    Verification
        Of ``mp-0b-d3``, whose published energy does not say its dispersion cutoff, the closer of two cutoffs.

    Raises
    ------
    UnknownModelError
        If no fingerprint of that name is known.
    ModelFileError
        If the model was packed without one.
    WeightsError
        If the weights cannot be had.
    """
    from ..calculator import MaceMOF

    if name == "mp-0b-d3":
        return _verify_mp0b_d3(device)
    if name in MOF5:
        expected = Fingerprint("MOF-5", MOF5[name].energy, 0.0)
        return _compare(name, make_mof5(name), MaceMOF(name, device=device), expected)
    if find_own(name) is None and (name not in CARDS or not CARDS[name].embedded):
        known = [*MOF5, *(card.name for card in CARDS.values() if card.embedded), *list_own()]
        raise UnknownModelError(f"There is no fingerprint of {name!r}", "", f"There is one of {', '.join(known)}")
    return _verify_packed(name, resolve(name), device)


def record_fingerprint(path: Path, structure: str = "MOF-5") -> Fingerprint:
    """Compute the fingerprint of a packed model and write it into its JSON file.

    Parameters
    ----------
    path : Path
        The JSON file.
    structure : str, optional
        Name of a structure of this package.

    Returns
    -------
    Fingerprint
    """
    from .. import structures
    from ..calculator import MaceMOF

    energy, max_force = _evaluate(structures.load(structure), MaceMOF(path, device="cpu"))
    fingerprint = Fingerprint(structure, energy, max_force)
    write_fingerprint(path, fingerprint)
    return fingerprint


def _verify_packed(name: str, path: Path, device: str) -> Verification:
    from .. import structures
    from ..calculator import MaceMOF

    expected = read_packed(path).fingerprint
    if expected is None:
        raise ModelFileError(f"{path} holds no fingerprint", "It was packed without one", "Use record_fingerprint")
    return _compare(name, structures.load(expected.structure), MaceMOF(path, device=device), expected)


def _verify_mp0b_d3(device: str) -> Verification:
    from ase.units import Bohr

    from ..comparators import MaceMP0bD3

    name = "mp-0b-d3"
    expected = Fingerprint("MOF-5", MOF5[name].energy, 0.0)
    outcomes = [
        _compare(
            name,
            make_mof5(name),
            MaceMP0bD3(device=device, cutoff=cutoff * Bohr),
            expected,
            settings=f"D3 cutoff {cutoff:g} Bohr",
        )
        for cutoff in _D3_CUTOFFS
    ]
    return min(outcomes, key=lambda outcome: abs(outcome.energy - outcome.expected_energy))


def _compare(
    name: str, atoms: Atoms, calculator: BaseCalculator, expected: Fingerprint, settings: str = ""
) -> Verification:
    energy, max_force = _evaluate(atoms, calculator)
    return Verification(
        name=name,
        structure=f"{expected.structure}, {len(atoms)} atoms",
        energy=energy,
        expected_energy=expected.energy,
        max_force=max_force,
        expected_max_force=expected.max_force,
        settings=settings,
    )


def _evaluate(atoms: Atoms, calculator: BaseCalculator) -> tuple[float, float]:
    import numpy as np

    atoms.calc = calculator
    return float(atoms.get_potential_energy()), float(np.linalg.norm(atoms.get_forces(), axis=1).max())
