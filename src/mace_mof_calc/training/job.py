"""A step from crystals to a model: files in, one file of frames and a manifest out, and going on after a kill.

Beside ``NAME.extxyz`` lies ``NAME.manifest.json``, which says how it was made. Until it is complete, its finished parts
lie in ``NAME.parts``. While a process works on it, ``NAME.lock`` keeps others away.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ase import Atoms

from ..errors import FramesError, TrainingError
from ..files import encode_json, make_folder, parse_json, write_file
from ..frames import encode_frames, read_frames, write_frames
from ..lock import hold
from ..models.weights import compute_digest
from .manifest import Dropped, Manifest, check_mappings, list_versions, read_dropped, read_manifest, write_manifest

_IDENTITY = "job.json"


@dataclass(frozen=True, slots=True)
class Part:
    """What one piece of work gave.

    Attributes
    ----------
    frames : sequence of Atoms
    dropped : sequence of Dropped
    """

    frames: Sequence[Atoms]
    dropped: Sequence[Dropped] = ()


class Job:
    """One step that writes a file of frames, and that no other process can begin as long as this object lives.

    Parameters
    ----------
    output : Path
        The file, ``NAME.extxyz``; its folder is made.
    step : str
        Name of the step.
    inputs : sequence of Path
        Files that it reads. What they hold and their order count, not where they lie or what they are called.
    settings : mapping
        All else that decides the result: numbers, words, lists and mappings of these.

    Raises
    ------
    TrainingError
        `output` is there and was not made by this step from these inputs and settings, a part of it was begun with
        others, or another process is at work on it. Nothing was changed.
    FramesError
        An input is no file.
    """

    def __init__(self, output: Path, step: str, inputs: Sequence[Path], settings: Mapping[str, Any]) -> None:
        if output.suffix != ".extxyz":
            raise TrainingError(f"The output {output} is no extxyz file", "", "Give it the suffix .extxyz")
        self.output, self.step = output, step
        self.inputs = {str(path): digest_input(path) for path in inputs}
        if len(self.inputs) < len(inputs):
            twice = next(path for path in inputs if list(inputs).count(path) > 1)
            raise TrainingError(f"The input {twice} was given twice", "Its frames would count twice", "Name it once")
        self.settings: dict[str, Any] = json.loads(json.dumps(dict(settings)))
        hold(output.with_suffix(".lock"), self)
        self.finished = self._check_output()
        self._parts = output.with_suffix(".parts")
        self._check_parts()

    def do(self, name: str, work: Callable[[], Part]) -> Part:
        """Return a part: what was kept of it, or what the work gives, which is kept.

        Parameters
        ----------
        name : str
            Of the part, unique in this job.
        work : callable
            Returns the part.
        """
        if not self.has(name):
            self.keep(name, work())
        return self.read(name)

    def has(self, name: str) -> bool:
        """Return whether a part is finished."""
        return self._path(name).is_file()

    def keep(self, name: str, part: Part) -> None:
        """Keep a finished part."""
        if not (self._parts / _IDENTITY).is_file():
            make_folder(self._parts)
            write_file(self._parts / _IDENTITY, encode_json(self._identity()))
        path = self._path(name)
        path.unlink(missing_ok=True)  # a kill leaves no part of which one half is older
        if part.frames:
            write_frames(path.with_suffix(".extxyz"), part.frames)
        else:
            path.with_suffix(".extxyz").unlink(missing_ok=True)
        write_file(path, encode_json([asdict(each) for each in part.dropped]))

    def read(self, name: str) -> Part:
        """Return a finished part.

        Raises
        ------
        TrainingError, FramesError
            It cannot be read.
        """
        path = self._path(name)
        frames = path.with_suffix(".extxyz")
        try:
            dropped = read_dropped(parse_json(path.read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            raise TrainingError(
                f"{path} is no part of a step", f"{type(error).__name__}: {error}", "Remove it, to have it done again"
            ) from error
        return Part(tuple(read_frames(frames)) if frames.is_file() else (), dropped)

    def reopen(self, parts: Mapping[str, Part]) -> None:
        """Make a finished job one that was begun, with some of its parts, so that the others are done again.

        A kill leaves the finished job, or the one that was begun with all these parts.
        """
        for name, part in parts.items():
            self.keep(name, part)
        self.output.unlink()
        self.finished = None

    def finish(self, parts: Sequence[Part], warnings: Sequence[str] = ()) -> Manifest:
        """Write the file of frames and its manifest, and remove the parts.

        Parameters
        ----------
        parts : sequence of Part
            In the order in which their frames are to stand.
        warnings : sequence of str, optional
            For the manifest.

        Raises
        ------
        TrainingError
            No frame is left.
        """
        frames = [atoms for part in parts for atoms in part.frames]
        dropped = tuple(each for part in parts for each in part.dropped)
        if not frames:
            raise TrainingError(
                f"No frame is left for {self.output}",
                "; ".join(f"{each.name}: {each.reason}" for each in dropped[:5]) or "Nothing was made",
                "Change what was asked for",
            )
        content = encode_frames(frames)
        manifest = Manifest(
            step=self.step,
            settings=self.settings,
            inputs=self.inputs,
            output=f"sha256:{hashlib.sha256(content).hexdigest()}",
            frames=len(frames),
            dropped=dropped,
            versions=list_versions(),
            warnings=tuple(warnings),
        )
        # A manifest without its file is as good as none; a file without its manifest could not be gone on with.
        write_manifest(self.output, manifest)
        write_file(self.output, content)
        self._remove_parts()
        return manifest

    @property
    def question(self) -> str:
        """Digest of the step, of its settings, and of what it reads."""
        return hashlib.sha256(json.dumps(self._identity(), sort_keys=True).encode()).hexdigest()

    def _identity(self) -> dict[str, Any]:
        return {"step": self.step, "settings": self.settings, "inputs": list(self.inputs.values())}

    def _path(self, name: str) -> Path:
        readable = re.sub(r"[^A-Za-z0-9.+-]+", "_", name)[:80]
        return self._parts / f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:8]}.json"

    def _check_output(self) -> Manifest | None:
        if not self.output.exists():
            return None
        manifest = read_manifest(self.output)
        theirs = {"step": manifest.step, "settings": manifest.settings, "inputs": list(manifest.inputs.values())}
        if differences := _compare(theirs, self._identity()):
            raise TrainingError(
                f"{self.output} is there already",
                f"It was made otherwise: {differences}",
                "Name another file, or remove it",
            )
        return manifest

    def _check_parts(self) -> None:
        if not self._parts.is_dir():
            return
        # A kill may have left nothing in it, or the beginning of a file, whose name has a dot in front.
        if any(not path.name.startswith(".") for path in self._parts.iterdir()):
            self._check_begun()
        if self.finished:
            self._remove_parts()

    def _check_begun(self) -> None:
        try:
            begun = parse_json((self._parts / _IDENTITY).read_bytes())
            check_mappings(begun, begun["settings"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TrainingError(
                f"{self._parts} is no folder of a step that was begun", f"{error}", "Move it away"
            ) from error
        if differences := _compare(begun, self._identity()):
            raise TrainingError(
                f"{self.output} was begun otherwise",
                differences,
                f"Go on as it was begun, name another file, or remove {self._parts}",
            )

    def _remove_parts(self) -> None:
        """Remove the parts, of each first what says that it is finished, and last what says whose they are."""
        with contextlib.suppress(OSError):  # they do no harm, and nothing is there when no part was kept
            order = sorted(self._parts.iterdir(), key=lambda path: (path.name == _IDENTITY, path.suffix != ".json"))
            for path in order:
                path.unlink()
            self._parts.rmdir()


def digest_input(path: Path) -> str:
    """Return the SHA-256 of a file.

    Raises
    ------
    FramesError
        There is no such file.
    """
    if not path.is_file():
        raise FramesError(f"There is no file {path}", "", "Check its name")
    return compute_digest(path, "sha256")


def _compare(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """Say in words what differs between two identities, in none where nothing does."""
    if theirs.get("step") != ours["step"]:
        return f"by '{theirs.get('step')}', not by '{ours['step']}'"
    before, now = theirs.get("settings") or {}, ours["settings"]
    changed = [
        f"{name} was {before.get(name)!r} and is {now.get(name)!r}"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    if theirs.get("inputs") != ours["inputs"]:
        changed.append("from other input files")
    return "; ".join(changed)
