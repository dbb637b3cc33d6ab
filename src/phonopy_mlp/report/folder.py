"""What a finished run left in its folder."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import phonopy
from phonopy import Phonopy

from phonopy_mlp.errors import SettingsError
from phonopy_mlp.files import check_yaml, file_digest, parse_yaml
from phonopy_mlp.imaginary import CommensurateModes, compute_commensurate_modes
from phonopy_mlp.output import FORCE_CONSTANTS_FILE, PARAMS_FILE
from phonopy_mlp.phonons import MESH, PhononResult, compute_phonons
from phonopy_mlp.provenance import PROVENANCE_FILE, read_record

Array = np.ndarray[Any, Any]

SHOWN = ("committee", "elastic", "eos", "phonopy", "qha", "sscha")
"""Beginnings of the names of steps that the page shows from files."""


@dataclass(frozen=True, slots=True)
class Harmonic:
    """Phonons of the folder's force constants.

    Attributes
    ----------
    phonon : Phonopy
        With force constants.
    phonons : PhononResult
        On the run's own mesh.
    modes : CommensurateModes
        At the q-points that the supercell represents exactly.

    """

    phonon: Phonopy
    phonons: PhononResult
    modes: CommensurateModes


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A folder in which a run was finished, or single steps were.

    Attributes
    ----------
    folder : Path
    records : mapping
        Record of each command by its file's name, that of a run before those of single steps; after one whose forces
        came from an earlier run that one's, too.
    harmonic : Harmonic or None
        None where there are no force constants.
    opened : list of Path
        Files that were read of it, in order.

    """

    folder: Path
    records: Mapping[str, Mapping[str, Any]]
    harmonic: Harmonic | None
    opened: list[Path] = field(default_factory=list)

    @property
    def main(self) -> Mapping[str, Any]:
        """The record that comes first."""
        return next(iter(self.records.values()))

    def steps(self) -> dict[str, Mapping[str, Any]]:
        """Return every step that any command did, with its numbers, the first command's before others of the name."""
        found: dict[str, Mapping[str, Any]] = {}
        for record in self.records.values():
            for name, step in (record.get("steps") or {}).items():
                found.setdefault(name, step)
        return found

    def did(self, step: str) -> bool:
        """Return whether any command did a step: files of that step without a record are another calculation's."""
        return any(name.startswith(step) for name in self.steps())

    def digests(self) -> Iterator[Mapping[str, str]]:
        """Yield of each record the digests of the files that its command wrote."""
        for record in self.records.values():
            yield _digests(record["steps"])

    def read_text(self, name: str) -> str | None:
        """Return what a file holds, or None where there is no such file.

        Raises
        ------
        SettingsError
            It is not text.

        """
        path = self.folder / name
        if not path.is_file():
            return None
        self.opened.append(path)
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise unreadable(path, str(error)) from error

    def read_yaml(self, name: str) -> Mapping[str, Any] | None:
        """Return what a YAML file holds, or None where there is no such file.

        Raises
        ------
        SettingsError
            It is not a mapping.

        """
        text = self.read_text(name)
        if text is None:
            return None
        try:
            content = parse_yaml(text.encode())
        except ValueError as error:
            raise unreadable(self.folder / name, str(error)) from error
        if not isinstance(content, dict):
            raise unreadable(self.folder / name, "it is not a mapping")
        return content

    def read_table(self, name: str) -> Array | None:
        """Return the columns of a file of numbers, shape=(columns, rows), or None where there is no such file.

        Raises
        ------
        SettingsError
            It does not hold numbers.

        """
        text = self.read_text(name)
        if text is None:
            return None
        rows = [line for line in text.splitlines() if line.partition("#")[0].strip()]
        if not rows:
            raise unreadable(self.folder / name, "it holds no numbers")
        try:
            return np.loadtxt(rows, ndmin=2).T
        except ValueError as error:
            raise unreadable(self.folder / name, str(error)) from error

    def read_columns(self, name: str) -> dict[str, Array] | None:
        """Return the columns of a file whose last comment names them, or None where there is no such file.

        Raises
        ------
        SettingsError
            It does not hold numbers, or not as many columns as names.

        """
        columns, text = self.read_table(name), self.read_text(name)
        if columns is None or text is None:
            return None
        names = [line for line in text.splitlines() if line.startswith("#")][-1:]
        found = names[0].removeprefix("#").split() if names else []
        if len(found) != len(columns):
            raise unreadable(self.folder / name, f"it has {len(columns)} columns and {len(found)} names")
        return dict(zip(found, columns, strict=True))


def read_folder(folder: Path) -> FinishedRun:
    """Read a finished run, and compute the phonons of its force constants.

    Raises
    ------
    SettingsError
        There is no record in the folder, or a file is not what its name says.

    """
    records = read_records(folder)
    return FinishedRun(folder, records, _read_harmonic(folder, records.get(PROVENANCE_FILE, {})))


def read_records(folder: Path) -> dict[str, Mapping[str, Any]]:
    """Read what the commands say that ran in a folder, without steps whose files are not theirs any more.

    Raises
    ------
    SettingsError
        There is no record in the folder, or it cannot be read.

    """
    names = sorted(path.name for path in folder.glob("phonopy_mlp-*.yaml"))
    if (folder / PROVENANCE_FILE).is_file():
        names.insert(0, PROVENANCE_FILE)
    if not names:
        raise SettingsError(
            f"'{folder}' holds no finished run",
            f"there is neither {PROVENANCE_FILE} nor phonopy_mlp-*.yaml in it",
            "Name a folder in which phonopy --mlp or phonopy-mlp ran to its end",
        )
    records: dict[str, Mapping[str, Any]] = {}
    for name in names:
        record = _checked(read_record(folder / name), folder / name)
        steps = dict(record["steps"])
        origin = steps.pop("forces_from", None)
        records[name] = _without_replaced({**record, "steps": steps}, name, folder)
        if origin:
            whole = f"{name}, where its forces came from"
            records[whole] = _without_replaced(_checked(origin, folder / name), whole, folder)
    return records


def _without_replaced(record: Mapping[str, Any], name: str, folder: Path) -> dict[str, Any]:
    """Return a record without steps of which a file is not theirs any more, and with warnings that tell of them."""
    steps, warned = dict(record["steps"]), list(record["warnings"])
    for step, file in _find_replaced(steps, folder).items():
        del steps[step]
        # Without its files, what phonopy makes is computed from the force constants.
        if step != "phonopy":
            warned.append(f"Another command has replaced {file}, or was interrupted: {step} in {name} is left out.")
    return {**record, "steps": steps, "warnings": warned}


def is_shown(name: str) -> bool:
    """Return whether the page shows what is in a file: it draws its own figures, and anybody may draw others."""
    return Path(name).suffix not in (".pdf", ".png", ".svg")


def _find_replaced(steps: Mapping[str, Mapping[str, Any]], folder: Path) -> dict[str, str]:
    """Return the steps that the page shows from files of which one is not theirs any more, and that file."""
    digests, found = _digests(steps), {}
    for step in steps:
        if step.startswith(SHOWN):
            for name in _digests({step: steps[step]}):
                path = folder / name
                if is_shown(name) and not (path.is_file() and file_digest(path) == digests[name]):
                    found[step] = name
    return found


def _digests(steps: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return digests of files by their names, of each the last: a step may go on with the file of one before."""
    found: dict[str, str] = {}
    for step in steps.values():
        files = step.get("files")
        found |= files if isinstance(files, Mapping) else {}
    return found


def _checked(record: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return a record with all that sections take for granted: mappings of what was done, and a list of warnings."""
    found = {name: record.get(name) or {} for name in ("input", "calculator", "settings", "steps")}
    warned = record.get("warnings") or []
    for name, value in [*found.items(), *((f"steps: {step}", each) for step, each in _items(found["steps"]))]:
        if not isinstance(value, Mapping):
            raise unreadable(path, f"its '{name}' is not a mapping")
    if not isinstance(warned, list):
        raise unreadable(path, "its 'warnings' are not a list")
    return {**record, **found, "warnings": warned}


def _items(value: Any) -> Iterable[tuple[Any, Any]]:
    return value.items() if isinstance(value, Mapping) else ()


def unreadable(path: Path, reason: str) -> SettingsError:
    """Return the error of a file that is not what its name says."""
    return SettingsError(f"'{path}' cannot be read", reason, "Run its command again, or move the file away")


def _read_harmonic(folder: Path, record: Mapping[str, Any]) -> Harmonic | None:
    params, force_constants = folder / PARAMS_FILE, folder / FORCE_CONSTANTS_FILE
    if not (params.is_file() and force_constants.is_file()):
        return None
    settings = record.get("settings") or {}
    with_born, born = "--use-born" in (record.get("command") or []), folder / "BORN"
    try:
        with params.open("rb") as file:
            check_yaml(file)
        # What phonopy warns of was said, and recorded, when the force constants were made.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            phonon = phonopy.load(
                params,
                force_constants_filename=force_constants,
                is_nac=with_born,
                born_filename=born if with_born and born.is_file() else None,
                symprec=settings.get("symmetry_tolerance") or 1e-5,
                produce_fc=False,
                symmetrize_fc=False,
                log_level=0,
            )
            phonons = compute_phonons(phonon, mesh=_mesh(settings), band_points=41)
            return Harmonic(phonon, phonons, compute_commensurate_modes(phonon))
    except Exception as error:
        raise unreadable(params, f"phonopy cannot load it ({type(error).__name__}: {error})") from error


def _mesh(settings: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the mesh that phonopy was told, or the default one."""
    tags = settings.get("phonopy_tags") or {}
    words = str(tags.get("mesh") or tags.get("mesh_numbers") or tags.get("mp") or "").split()
    return tuple(map(int, words)) if len(words) == 3 and all(word.isdigit() for word in words) else MESH
