"""What came of a screening, in an ASE database: one row for each structure.

The driver alone writes it. All that is in it is in the folders of the tasks, too, from which it can be made again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from phonopy_mlp.errors import OutputError, SettingsError, StructureError
from phonopy_mlp.files import exists, replacing
from phonopy_mlp.provenance import plain
from phonopy_mlp.screen.entries import Entry, is_word
from phonopy_mlp.screen.task import Outcome, State, Value
from phonopy_mlp.structures import bare, parse_structure

FILES, SERVERS = ".db", "postgresql://"

FLAGS = ("doubtful", "domain")
"""Values of which a row has those of all steps."""

UNFINISHED = "unfinished"
"""State of a structure in the database, of which some steps are still to be done."""

GONE = "gone"
"""The same, of one that is not among those of the screening any more."""

_METADATA = "phonopy_mlp_screen"


@dataclass(slots=True)
class Result:
    """What is known of one structure.

    Attributes
    ----------
    entry : Entry
    steps : mapping of str to Outcome
        In the order in which they were done.
    """

    entry: Entry
    steps: dict[str, Outcome] = field(default_factory=dict)

    @property
    def state(self) -> State:
        """``done`` as far as it went, or what stopped it."""
        return next((outcome.state for outcome in self.steps.values() if outcome.state != "done"), "done")

    def is_finished(self, steps: Sequence[str]) -> bool:
        """Return whether nothing is left to do, because all is done or because something failed."""
        return self.state != "done" or all(step in self.steps for step in steps)

    @property
    def structure(self) -> Path:
        """File of the structure as it is now."""
        return self._made[0] if self._made else self.entry.path

    @property
    def digest(self) -> str:
        """Of that file where a step has made it; else empty, for the entry has its own."""
        return self._made[1] if self._made else ""

    @property
    def _made(self) -> tuple[Path, str] | None:
        made = [outcome for outcome in self.steps.values() if outcome.structure]
        return (Path(made[-1].structure), made[-1].files[Path(made[-1].structure).name]) if made else None


class Store:
    """An ASE database.

    Parameters
    ----------
    where : str
        Its file, which ends in ``.db``, or the address of a PostgreSQL server, ``postgresql://USER:WORD@HOST/NAME``.
    make : bool, optional
        Make the file where there is none.

    Attributes
    ----------
    where : str
        The same, without who asks, the password and other options.

    Raises
    ------
    SettingsError
        It is neither, is not there, or cannot be opened.
    OutputError
        It is to be made, and cannot be written.
    """

    def __init__(self, where: str, *, make: bool = True) -> None:
        from ase.db import connect

        self.where = _show(where)
        if not (where.endswith(FILES) or where.startswith(SERVERS)):
            raise SettingsError(
                f"Database '{self.where}'", "it is neither a file nor a server", f"Give a file *{FILES} or {SERVERS}..."
            )
        missing = where.endswith(FILES) and not exists(where)
        if missing and not make:
            raise SettingsError(f"Database '{where}' was not found", "no screening has made it", "Check --db")
        try:
            if missing:
                # ASE makes its tables one by one; a file that has some of them cannot be opened.
                with replacing(Path(where)) as temporary:
                    connect(temporary, use_lock_file=False).count()
            # ASE's lock is a file, which stays where a process is killed; the screening's own folder is locked.
            self._database = connect(where, use_lock_file=False)
            self._database.count()
        except OutputError:
            raise
        except ImportError as error:
            raise SettingsError(
                f"Database '{self.where}' cannot be opened", str(error), "Run: pip install 'phonopy-mlp[postgresql]'"
            ) from error
        except Exception as error:  # of SQLite, of a server, of a file that is none
            raise SettingsError(
                f"Database '{self.where}' cannot be opened", f"{type(error).__name__}: {error}", "Give another one"
            ) from error
        # Its keys have no index: a question for each structure would take longer the more there are.
        self._rows: dict[str, int] | None = None

    @property
    def agreement(self) -> Any:
        """What `agreement.agree` has written, or None.

        Raises
        ------
        SettingsError
            It cannot be read.
        OutputError
            It cannot be written.
        """
        return self._read_metadata().get(_METADATA)

    @agreement.setter
    def agreement(self, content: Mapping[str, Any]) -> None:
        metadata = self._read_metadata()
        with _writing(self.where):
            self._database.metadata = {**metadata, _METADATA: content}

    def _read_metadata(self) -> dict[str, Any]:
        try:
            return dict(self._database.metadata)
        except Exception as error:  # of SQLite, of a server, of what is in its columns
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> SettingsError:
        return SettingsError(
            f"Database '{self.where}' cannot be read", f"{type(error).__name__}: {error}", "Give another one"
        )

    def write(self, result: Result, *, finished: bool) -> None:
        """Write the row of a structure, in the place of the one before.

        Raises
        ------
        OutputError
            The database cannot be written.
        """
        atoms, values, data = make_row(result, finished=finished)
        name = result.entry.name
        with _writing(self.where):
            self._numbers[name] = self._database.write(atoms, values, data, id=self._numbers.get(name))

    def has(self, name: str) -> bool:
        """Return whether there is a row of a structure."""
        return name in self._numbers

    def retire(self, names: Collection[str]) -> None:
        """Tell of each row whose structure is not among these that it is gone.

        Raises
        ------
        OutputError
            The database cannot be written.
        """
        with _writing(self.where):
            for name, number in self._numbers.items():
                if name not in names:
                    self._database.update(number, state=GONE)

    @property
    def _numbers(self) -> dict[str, int]:
        """Of rows, by their structures."""
        if self._rows is None:
            self._rows = {row.name: row.id for row in self.rows()}
        return self._rows

    def rows(self) -> Iterator[Any]:
        """Yield ASE's rows of all structures, without their records."""
        try:
            yield from self._database.select("state", include_data=False)
        except Exception as error:  # of SQLite, of a server, of what is in its columns
            raise self._unreadable(error) from error


def find_folder(where: str) -> Path:
    """Return the folder for all other files of a screening, as its database is called.

    Raises
    ------
    SettingsError
        It has no name.
    """
    shown = _show(where)
    path = Path(shown.removeprefix(SERVERS).partition("/")[2] if where.startswith(SERVERS) else where)
    if not path.name:
        raise SettingsError(f"Database '{shown}'", "it has no name", f"Give a file *{FILES} or {SERVERS}HOST/NAME")
    return path.with_suffix("")


def _show(where: str) -> str:
    """Return where a database is, as anybody may know it."""
    if not where.startswith(SERVERS):
        return where
    return SERVERS + where.removeprefix(SERVERS).rpartition("@")[2].partition("?")[0]


def make_row(result: Result, *, finished: bool) -> tuple[Atoms, dict[str, Value], dict[str, Any]]:
    """Return what a database has of a structure: atoms, values to ask for, and all else.

    Parameters
    ----------
    result : Result
    finished : bool
        Whether no step is left to do.
    """
    atoms = _read_atoms(result)
    values: dict[str, Value] = {"name": result.entry.name, "state": result.state if finished else UNFINISHED}
    values["steps"] = ",".join(step for step, outcome in result.steps.items() if outcome.state == "done") or "none"
    for step, outcome in result.steps.items():
        values |= {name: value for name, value in outcome.values.items() if name not in FLAGS}
        values[f"{step}_seconds"] = round(outcome.seconds, 3)
        if outcome.state != "done":
            reason = _clean(outcome.reason)
            values |= {"failed_step": step, "error": reason if is_word(reason) else f"'{reason}'"}
    values |= _gather_flags(result)
    energy = values.pop("energy_at_minimum", None)
    if energy is not None:
        atoms.calc = SinglePointCalculator(atoms, energy=energy)
    data = {
        "input": {"file": _clean(str(result.entry.path)), "digest": _clean(result.entry.digest)},
        "steps": {
            step: plain(asdict(replace(outcome, reason=_clean(outcome.reason))))
            for step, outcome in result.steps.items()
        },
    }
    return atoms, values, data


def _read_atoms(result: Result) -> Atoms:
    first = next(iter(result.steps.values()), None)
    if first is not None and first.deadly:
        # What took the memory of its process may take that of this one, too.
        return Atoms()
    try:
        return bare(parse_structure(result.structure))
    except StructureError:
        # Its first step says why.
        return Atoms()


def _gather_flags(result: Result) -> dict[str, Value]:
    """Return what any step has found: checks with the step that they are of, and kinds of findings."""
    found: dict[str, dict[str, None]] = {}
    for step, outcome in result.steps.items():
        for flag in FLAGS:
            if flag in outcome.values:
                words = [word for word in str(outcome.values[flag]).split(",") if word]
                named = [f"{step}:{word}" for word in words] if flag == "doubtful" else words
                found.setdefault(flag, {}).update(dict.fromkeys(named))
    return {flag: ",".join(words) for flag, words in found.items()}


def _clean(text: str) -> str:
    """Return a text without what databases refuse: control characters, and halves of others."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


@contextmanager
def _writing(where: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # of SQLite, of a server, of a disk
        raise OutputError(
            f"Database '{where}' cannot be written",
            f"{type(error).__name__}: {error}",
            "Make room, or see to the server; the same command goes on from here",
        ) from error
