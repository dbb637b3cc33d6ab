"""What is to be done with each structure, and what decides its results."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phonopy_mlp.cli import command as commands
from phonopy_mlp.cli.checks import check_options
from phonopy_mlp.cli.config import expand
from phonopy_mlp.cli.options import parse
from phonopy_mlp.errors import SettingsError
from phonopy_mlp.files import file_digest, is_file
from phonopy_mlp.output import RELAXED_FILE, STABILISED_FILE
from phonopy_mlp.provenance import PROVENANCE_FILE
from phonopy_mlp.screen.entries import Entry
from phonopy_mlp.screen.stamps import Stamp, take_stamp
from phonopy_mlp.screen.task import Task, digest_plain, tell_calculator

CHANGING: Mapping[str, str] = {"relax": RELAXED_FILE, "stabilise": STABILISED_FILE}
"""Steps whose structure the next start from, and its file."""

USUAL_STEPS = ("relax", "stabilise", "phonons", "eos")
STEPS = (*USUAL_STEPS, "elastic", "qha")

_CONFIGURATION = "--config"
"""Option whose value is the name of a file, whatever it looks like."""

USUAL: Mapping[str, tuple[str, ...]] = {"phonons": ("-t", "--dos")}
"""Options that a step has besides those that were given."""


@dataclass(frozen=True, slots=True)
class Model:
    """The calculator of all steps.

    Attributes
    ----------
    name : str
        Registered name, or the absolute path of a model file.
    device : str
        Where it computes.
    options : tuple of str
        All else that command lines say of it.
    description : mapping
        What it says of itself.
    digest : str or None
        Of its file.
    stamp : Stamp or None
        Of its file.
    """

    name: str
    device: str
    options: tuple[str, ...] = ()
    description: Mapping[str, Any] = field(default_factory=dict)
    digest: str | None = None
    stamp: Stamp | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps and their options.

    Attributes
    ----------
    steps : tuple of str
        In order, of `STEPS`.
    options : mapping of str to tuple of str
        Words of each step.
    model : Model
        That all steps take.
    files : mapping of str to str
        Digests of the files that words name, by the words.
    stamps : tuple of Stamp
        Of these files.
    """

    steps: tuple[str, ...]
    options: Mapping[str, tuple[str, ...]]
    model: Model
    files: Mapping[str, str]
    stamps: tuple[Stamp, ...] = ()

    def words(self, step: str) -> tuple[str, ...]:
        """Return the command line of a step, but for the structure."""
        where = ("--mlp", self.model.name, "--device", self.model.device)
        return (_command(step), *where, *self.model.options, *self._own_words(step), "-q")

    def questions(self) -> dict[str, dict[str, Any]]:
        """Return all that decides the result of each step, but for the structure."""
        model = {"calculator": tell_calculator(self.model.description), "model": self.model.digest or self.model.name}
        before: list[list[str]] = []
        found = {}
        for step in self.steps:
            own = [self.files.get(word, word) for word in self._own_words(step)]
            words = [_command(step), *self.model.options, *own]
            found[step] = {**model, "before": list(before), "words": words}
            if step in CHANGING:
                before.append(words)
        return found

    def _own_words(self, step: str) -> tuple[str, ...]:
        return (*USUAL.get(step, ()), *self.options.get(step, ()))

    def task(self, entry: Entry, step: str, structure: Path, folder: Path, *, made: str = "") -> Task:
        """Return the task of a step on a structure, to be done in a folder of the screening's.

        `made` is the digest of the structure where an earlier step has made it: what is made anew may be another.
        """
        where = folder / entry.name / step
        question = [self.questions()[step], entry.digest, made]
        return Task(
            name=entry.name,
            step=step,
            structure=str(structure.resolve()),
            folder=str(where.resolve()),
            words=self.words(step),
            question=digest_plain(question),
            record=PROVENANCE_FILE if step == "phonons" else f"phonopy_mlp-{step}.yaml",
            result=CHANGING.get(step, ""),
            stamps=tuple(each for each in (entry.stamp, self.model.stamp, *self.stamps) if each is not None),
            calculator=digest_plain(tell_calculator(self.model.description)) if self.model.description else "",
        )


def make_plan(steps: Sequence[str], options: Mapping[str, str], model: Model) -> Plan:
    """Check steps and options, and put them together.

    Parameters
    ----------
    steps : sequence of str
    options : mapping of str to str
        Options of each step, as on its own command line; files as seen from the working folder.
    model : Model
        That all steps take.

    Raises
    ------
    SettingsError
        A step that there is not, one that is named twice, or options of a step that are not done or not understood.
    """
    if not steps:
        raise SettingsError("No step was given", f"there are {', '.join(STEPS)}", "Name one or more")
    for step in steps:
        if step not in STEPS:
            raise SettingsError(f"Step '{step}'", f"there are {', '.join(STEPS)}", "Name one or more of these")
    if len(set(steps)) != len(steps):
        raise SettingsError(f"Steps {','.join(steps)}", "one is named twice", "Name each once")
    if idle := [step for step in options if step not in steps]:
        raise SettingsError(f"Options of {', '.join(idle)}", "that is not among the steps", "Add it, or leave them out")
    words = {step: expand(_split(step, text), _command(step)) for step, text in options.items()}
    found = {step: tuple(_find_files(own)) for step, own in words.items()}
    named = {word: paths for own in found.values() for word, paths in own if paths}
    stamps = tuple(take_stamp(path) for paths in named.values() for path in paths)
    files = {word: ",".join(map(file_digest, paths)) for word, paths in named.items()}
    final = {step: tuple(word for word, _ in own) for step, own in found.items()}
    plan = Plan(tuple(steps), final, model, files, stamps)
    for step in steps:
        _check(step, plan.words(step))
    return plan


def _command(step: str) -> str:
    return "run" if step == "phonons" else step


def _find_files(words: Sequence[str]) -> Iterator[tuple[str, Sequence[Path]]]:
    """Yield words of a command line as they are understood in any folder, and the files that each names."""
    before = ""
    for word in words:
        option, equals, value = word.rpartition("=") if word.startswith("-") else ("", "", word)
        whole = _CONFIGURATION in (before, option)
        named = [_find_file(part, anyhow=whole) for part in ([value] if whole else value.split(","))]
        known = [path for _, path in named if path is not None]
        yield f"{option}{equals}{','.join(part for part, _ in named)}", known
        before = word


def _find_file(word: str, *, anyhow: bool) -> tuple[str, Path | None]:
    path = Path(word)
    # Words of other meaning may be names of files as well, but look like none.
    if (anyhow or path.suffix or len(path.parts) > 1) and is_file(path):
        return str(path.resolve()), path.resolve()
    return word, None


def _split(step: str, text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise SettingsError(f"Options '{text}' of {step}", str(error), "Close the quotes") from error


def _check(step: str, words: Sequence[str]) -> None:
    """Let the step's own command line read its words."""
    name, *rest = words
    try:
        if name == "run":
            check_options(parse(["structure.cif", *expand(rest, name)], "phonopy-mlp run"))
        else:
            commands.check(name, rest)
    except SystemExit as error:
        raise SettingsError(
            f"Options '{shlex.join(rest)}' of {step}", "they are not understood", f"See 'phonopy-mlp {name} --help'"
        ) from error
