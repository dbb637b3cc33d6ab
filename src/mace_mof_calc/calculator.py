"""The MACE calculator of this package: mace's own, with the model's identity and plain errors around it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.data import atomic_numbers

from .acceleration import choose_backend, make_engines
from .backend import import_mace
from .checks import check_structure
from .committee import check_members, combine, describe_members
from .devices import resolve_device
from .domain.findings import available_checks, check_domain
from .domain.reference import find_reference
from .engine.batching import BatchError
from .engine.engine import Backend
from .errors import MaceMofError, StructureError
from .models.loading import LoadedModel, load

import_mace()

from mace.calculators.mace import MACECalculator  # noqa: E402  (import_mace keeps its side effects off the process)

#: Scatter of the forces from rounding, eV/Angstrom.
FORCE_NOISE = {"float64": 1e-12, "float32": 1e-5}

_PASSED_ON = frozenset({"atoms", "label", "directory"})
_COMMITTEE_RESULTS = tuple(f"{name}_{kind}" for name in ("energy", "forces", "stress") for kind in ("comm", "var"))


class MaceMOF(MACECalculator):
    """ASE calculator for MACE-MP-MOF0 and other MACE potentials.

    Parameters
    ----------
    model : str, Path or sequence of these, optional
        Name of a registered model (``mof0``, ``mof0-v2``, ``mini``, ``mp-0b``), or path of a model file. Several make a
        committee, whose results are the means over its members.
    device : str, optional
        ``auto`` (CUDA where there is one, else the CPU), ``cpu``, ``cuda`` or ``cuda:1``.
    dtype : {'float64', 'float32'}, optional
        Precision of the computation. Phonons need ``float64``.
    head : str, optional
        Head of a multi-head model; by default the fine-tuned one.
    trust : bool, optional
        Load a file that runs code on loading. Only for files of your own.
    accelerate : bool or {'compiled', 'pytorch'}, optional
        Evaluate with this package's engine, which gives the same numbers several times faster, for the architectures
        it knows: with compiled loops (the default on a CPU), or with PyTorch alone (the default on a GPU). Otherwise,
        and with False, mace itself evaluates.
    memory : int, optional
        Bytes that a batch, or PyTorch's intermediate results, may take; see `engine.engine.Engine`.
    **ase_kwargs
        ``atoms``, ``label`` and ``directory``, as in ASE's calculators.

    Attributes
    ----------
    loaded : tuple of LoadedModel
        The model, or the members of the committee, with digest and card.

    Raises
    ------
    UnknownModelError, WeightsError, ModelFileError, UnknownHeadError
        The model cannot be found, fetched, read, or has no such head.
    DeviceError, PrecisionError, AccelerationError
        The device is not here, or the precision or the acceleration does not exist.
    CommitteeError
        The models of a committee differ in elements, cutoff, heads or level of theory.
    TypeError
        An option that does not exist.

    Notes
    -----
    Results, always in float64: ``energy`` and ``free_energy`` (eV, the same number), ``energies`` (eV,
    ``shape=(natoms,)``), ``forces`` (eV/Angstrom, ``shape=(natoms, 3)``), and, where all three axes are periodic,
    ``stress`` (eV/Angstrom^3, ``shape=(6,)``, ASE's sign and Voigt order). A committee adds, under mace's names, the
    results of each member and their variance over the members (divided by their number): ``energy_comm``
    (``shape=(nmodels,)``), ``energy_var``, ``forces_comm`` (``shape=(nmodels, natoms, 3)``), ``forces_var``,
    ``stress_comm`` (``shape=(nmodels, 3, 3)``) and ``stress_var`` (``shape=(3, 3)``).

    A calculation raises `UnsupportedElementError` or `StructureError` before any work where the structure cannot be
    evaluated.
    """

    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress"]  # noqa: RUF012  (ASE's way)
    _settled = False

    def __init__(
        self,
        model: str | Path | Sequence[str | Path] = "mof0",
        *,
        device: str = "auto",
        dtype: str = "float64",
        head: str | None = None,
        trust: bool = False,
        accelerate: bool | Backend = True,
        memory: int | None = None,
        **ase_kwargs: Any,
    ) -> None:
        unknown = sorted(set(ase_kwargs) - _PASSED_ON)
        if unknown:
            raise TypeError(
                f"MaceMOF has no option {', '.join(unknown)}. It passes on {', '.join(sorted(_PASSED_ON))}."
            )
        models = [model] if isinstance(model, str | Path) else list(model)
        resolved = resolve_device(device)
        self.loaded = _load_members(models, device=resolved, dtype=dtype, head=head, trust=trust)
        check_members(self.loaded)
        self._numbers = frozenset(atomic_numbers[symbol] for symbol in self.loaded[0].elements)
        self._title = describe_members(self.loaded)["name"]
        # mace extends the list it finds here; the class's own would grow with every instance.
        self.implemented_properties = []
        names = [each.name if each.name in models else str(each.path.absolute()) for each in self.loaded]
        kept = {name: value for name, value in ase_kwargs.items() if name != "atoms"}
        self._settings = {"device": device, "trust": trust, "accelerate": accelerate, "memory": memory, **kept}
        with _root_logger_kept():
            super().__init__(
                models=[each.module for each in self.loaded],
                device=resolved,
                default_dtype=dtype,
                head=self.loaded[0].head,
                model=names if len(names) > 1 else names[0],
                dtype=dtype,
                **ase_kwargs,
            )
        committee = _COMMITTEE_RESULTS if len(self.loaded) > 1 else ()
        self.implemented_properties = [*MaceMOF.implemented_properties, *committee]
        self._backend = choose_backend(accelerate, resolved)
        exact = self.loaded
        if self._backend is not None and (resolved, dtype) != ("cpu", "float64"):
            exact = _load_members(models, device="cpu", dtype="float64", head=head, trust=trust)
        self._engines = make_engines(exact, self._backend, resolved, dtype, memory)
        self._settled = True

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] | None = None,
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Compute all results of `atoms`, whichever of them are asked for; see the notes of the class."""
        atoms = check_structure(self.atoms if atoms is None else atoms, self._numbers, self._title)
        if self._engines:
            Calculator.calculate(self, atoms, properties, system_changes)
            members = [engine.evaluate(atoms) for engine in self._engines]
            self.results = combine(members, atoms)
            return
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]  # mace's class has no annotations
        self.results = {
            key: _as_float64(value) for key, value in self.results.items() if key in self.implemented_properties
        }
        if not atoms.pbc.all():
            # mace stretches the cell along the other axes, and the stress would be per volume of that cell.
            self.results = {key: value for key, value in self.results.items() if not key.startswith("stress")}

    def calculate_batch(self, structures: Sequence[Atoms]) -> list[dict[str, Any]]:
        """Compute several structures at once, as many as there is memory for.

        Parameters
        ----------
        structures : sequence of Atoms

        Returns
        -------
        list of dict
            Results of each structure, in the order given, as in the notes of the class.

        Raises
        ------
        UnsupportedElementError, StructureError
            A structure cannot be evaluated, or memory does not suffice for it alone; says which.
        """
        checked = []
        for k, atoms in enumerate(structures):
            with _blamed(k, atoms):
                checked.append(check_structure(atoms, self._numbers, self._title))
        if not self._engines:
            return [self._calculate_one(k, atoms) for k, atoms in enumerate(checked)]
        if not checked:
            return []
        try:
            members = [engine.evaluate_batch(checked) for engine in self._engines]
        except BatchError as error:
            with _blamed(error.index, checked[error.index]):
                raise error.cause from None
        return [combine(own, atoms) for own, atoms in zip(zip(*members, strict=True), checked, strict=True)]

    def _calculate_one(self, number: int, atoms: Atoms) -> dict[str, Any]:
        with _blamed(number, atoms):
            self.calculate(atoms)
        return dict(self.results)

    @property
    def has_linear_response(self) -> bool:
        """Whether `atom_response` and `force_response` are there: wherever the engine evaluates."""
        return bool(self._engines)

    def force_response(self, atoms: Atoms, displacements: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Differentiate all forces along displacements of the periodic structure, exactly.

        Parameters
        ----------
        atoms : Atoms
        displacements : ndarray, shape=(count, natoms, 3)
            All periodic images of an atom move alike.

        Returns
        -------
        ndarray, shape=(count, natoms, 3)
            Derivatives of the forces: the product of the negative Hessian (eV/Angstrom^2) with the displacements. Of a
            committee, the mean.

        Raises
        ------
        TypeError
            Where `has_linear_response` is false.
        DisplacementError
            The displacements are not of that shape.
        """
        atoms = self._check_response(atoms)
        members = [engine.force_response(atoms, displacements) for engine in self._engines]
        mean: np.ndarray[Any, Any] = np.mean(members, axis=0)
        return mean

    def atom_response(
        self, atoms: Atoms, index: int, directions: np.ndarray[Any, Any]
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Differentiate all forces along the displacement of one atom, exactly, in the crystal without end.

        Parameters
        ----------
        atoms : Atoms
            Unit cell.
        index : int
            The atom that moves, its images staying.
        directions : ndarray, shape=(count, 3)

        Returns
        -------
        atom : ndarray, shape=(nodes,), dtype=int
            Atoms whose forces change,
        cell : ndarray, shape=(nodes, 3), dtype=int
            and the cells they are in.
        response : ndarray, shape=(count, nodes, 3)
            Derivatives of their forces, eV/Angstrom^2 for unit vectors. Of a committee each member has nodes of its
            own, and the mean is their sum.

        Raises
        ------
        TypeError
            Where `has_linear_response` is false.
        DisplacementError
            There is no such atom, or the directions are not of that shape.
        """
        atoms = self._check_response(atoms)
        members = [engine.atom_response(atoms, index, directions) for engine in self._engines]
        atom, cell, response = (
            np.concatenate([member[k] for member in members], axis=axis) for k, axis in ((0, 0), (1, 0), (2, 1))
        )
        return atom, cell, response / len(members)

    def _check_response(self, atoms: Atoms) -> Atoms:
        if not self.has_linear_response:
            raise TypeError("Linear response needs acceleration, and an architecture that the engine knows")
        return check_structure(atoms, self._numbers, self._title)

    def check_domain(self, atoms: Atoms) -> tuple[dict[str, Any], ...]:
        """Find what in a structure is outside of the training of the model, or of any member of a committee.

        Contacts and environments are looked at where the file of `domain.reference` lies beside the model file.

        Parameters
        ----------
        atoms : Atoms

        Returns
        -------
        tuple of dict
            ``kind`` (``element``, ``open-shell``, ``contact`` or ``environment``), ``atoms`` (indices), ``symbols``,
            and ``message``, a sentence; none where nothing was found.

        Raises
        ------
        UnsupportedElementError, StructureError
            The structure cannot be evaluated.
        DomainError
            The file beside the model file is damaged, or belongs to another model.
        """
        atoms = check_structure(atoms, self._numbers, self._title)
        found = [finding for each in self.loaded for finding in check_domain(atoms, each, find_reference(each))]
        return tuple(finding.describe() for finding in found)

    @property
    def domain_checks(self) -> tuple[str, ...]:
        """Kinds of findings that `check_domain` can make: those that every member's card and files suffice for."""
        known = [available_checks(each.card, find_reference(each)) for each in self.loaded]
        return tuple(kind for kind in known[0] if all(kind in own for own in known))

    def make_members(self) -> tuple[MaceMOF, ...]:
        """Return the members of a committee as calculators of their own; one model is its own only member."""
        if len(self.loaded) == 1:
            return (self,)
        options = {**self.parameters, **self._settings}
        return tuple(type(self)(**{**options, "model": each}) for each in self.parameters["model"])

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """List what changed since the last calculation; ``atoms.info`` has no influence on these models."""
        changes: list[str] = Calculator.check_state(self, atoms, tol=tol)
        return changes

    def describe(self) -> dict[str, Any]:
        """Say what this calculator is, as plain data for a provenance file.

        Returns
        -------
        dict
            ``name``, ``digest``, ``head``, ``elements`` (symbols), ``level_of_theory``, ``dispersion`` (None where the
            model holds none), ``device``, ``dtype``, ``accelerated``, ``licence``, ``citation``, ``force_noise``
            (eV/Angstrom), ``versions``; for a committee also ``members``, and ``digest`` is then that of their digests.
        """
        return {
            **describe_members(self.loaded),
            "head": self.loaded[0].head,
            "elements": tuple(self.loaded[0].elements),
            "device": str(self.device),
            "dtype": self.default_dtype,
            "accelerated": self._backend if self._engines else False,
            "force_noise": FORCE_NOISE[self.default_dtype],
            "versions": {
                name: version(name) for name in ("mace-mof-calc", "mace-torch", "torch", "e3nn", "ase", "numpy")
            },
        }

    def set(self, **kwargs: Any) -> dict[str, Any]:
        """Refuse to change the settings: they belong to the model that was loaded."""
        if self._settled and kwargs:
            raise TypeError(f"The settings of a MaceMOF are final ({', '.join(kwargs)} given). Make a new MaceMOF.")
        changed: dict[str, Any] = super().set(**kwargs)  # type: ignore[no-untyped-call]  # mace's class has no annotations
        return changed

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle as settings: the copy loads its model anew, where a pickled module would be a program."""
        return partial(type(self), **self.parameters, **self._settings), ()

    def _get_name(self) -> str:
        return "mace-mof"


def _load_members(models: Sequence[str | Path], **options: Any) -> tuple[LoadedModel, ...]:
    return tuple(load(each, **options) for each in models)


@contextmanager
def _blamed(number: int, atoms: Atoms) -> Iterator[None]:
    """Put which structure of a batch it was before the message of an error."""
    name = f"Structure {number + 1} of the batch ({atoms.get_chemical_formula()})"
    try:
        yield
    except MaceMofError as error:
        raise type(error)(f"{name}: {error.what}", error.why, error.remedy) from error
    except Exception as error:
        raise StructureError(f"{name} failed", f"{type(error).__name__}: {error}", "See the error before") from error


def _as_float64(value: Any) -> Any:
    """Turn an array into one of its own in double precision; leave numbers alone."""
    return np.array(value, dtype=np.float64) if isinstance(value, np.ndarray) else float(value)


@contextmanager
def _root_logger_kept() -> Iterator[None]:
    """Keep mace's ``logging.info`` from configuring the logging of a program that has not done so itself yet."""
    placeholder = logging.NullHandler()
    logging.root.addHandler(placeholder)
    try:
        yield
    finally:
        logging.root.removeHandler(placeholder)
