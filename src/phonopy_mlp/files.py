"""Files that are whole or not there."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any

import yaml

from phonopy_mlp.errors import OutputError

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)

_DEEPEST = 100
"""Levels of YAML; what is written here and by phonopy has about ten."""


_noted: ContextVar[list[Path] | None] = ContextVar("noted", default=None)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it takes the place of `path`, on failure it is removed.

    Raises
    ------
    OutputError
        The folder cannot be written, or is full.

    """
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o666 & ~_UMASK)
        put(temporary, path)
    except OutputError:
        raise
    except OSError as error:
        raise explain(error, f"'{path}'") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def put(temporary: Path, path: Path) -> None:
    """Put a complete file in its place."""
    temporary.replace(path)
    noted = _noted.get()
    if noted is not None:
        noted.append(path)


@contextmanager
def noting() -> Iterator[list[Path]]:
    """Note which files come to their places meanwhile."""
    noted: list[Path] = []
    token = _noted.set(noted)
    try:
        yield noted
    finally:
        _noted.reset(token)


def explain(error: OSError, what: str) -> OutputError:
    """Return the error that says in one line why something cannot be written; HDF5 says it in several."""
    why = str(error) if error.errno is None else f"[Errno {error.errno}] {os.strerror(error.errno)}"
    return OutputError(f"{what} cannot be written", why, "Choose a folder that exists, is yours and has room")


def parse_yaml(content: bytes) -> Any:
    """Return what YAML says: plain data.

    Raises
    ------
    ValueError
        It is no YAML, or `check_yaml` objects.

    """
    check_yaml(io.BytesIO(content))
    try:
        return yaml.load(content, Loader=_LOADER)
    except (yaml.YAMLError, OverflowError) as error:
        raise ValueError(str(error)) from error


def check_yaml(stream: IO[bytes]) -> None:
    """Look through YAML before anything is made of it.

    Raises
    ------
    ValueError
        It does not parse; it has tags, with which some loaders (phonopy's) run code; aliases, with which a few lines
        take all memory; or is nested so deeply that a loader would end the process.

    """
    depth = 0
    try:
        for event in yaml.parse(stream, Loader=_LOADER):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                raise ValueError(f"it is nested more than {_DEEPEST} times")
            if isinstance(event, yaml.AliasEvent) or getattr(event, "tag", None) is not None:
                raise ValueError("it has tags or aliases of YAML (! or *), which are not read")
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def exists(path: str | Path) -> bool:
    """Return whether there is a file or folder; not where its name can be none, or nobody may look there."""
    try:
        return Path(path).exists()
    except OSError:
        return False


def is_file(path: str | Path) -> bool:
    """Return whether there is a file; see `exists`."""
    return exists(path) and Path(path).is_file()


def file_digest(path: Path) -> str:
    """Return ``sha256:...`` of a file."""
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


class _Dumper(yaml.SafeDumper):
    """Escapes what ends a line in YAML and not elsewhere; PyYAML writes it as it is, and reads it as a space.

    Halves of characters, as in names of files that are not UTF-8, it writes, and refuses to read: they are replaced.
    """

    def ignore_aliases(self, data: Any) -> bool:
        """Return that what occurs twice is written twice: `parse_yaml` reads no aliases."""
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        data = data.encode("utf-8", "replace").decode("utf-8")
        style = '"' if any(mark in data for mark in "\x85\u2028\u2029") else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _Dumper.represent_str)


def write_yaml(path: Path, content: Any) -> None:
    """Write plain data as YAML, in the order they have."""
    text = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_folder(folder: Path) -> None:
    """Make an output folder where there is none, and raise `OutputError` if nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"Output folder '{folder}' cannot be made", str(error), "Choose a folder that you may write to"
        ) from error
    probe = folder / ".phonopy_mlp-probe"
    with replacing(probe):
        pass
    # Another process may have had the same thought.
    probe.unlink(missing_ok=True)


@contextmanager
def alone(folder: Path, name: str = "phonopy_mlp", *, patience: float = 0.0) -> Iterator[None]:
    """Keep other runs out of a folder, by a lock that the kernel lets go of when this process ends, however it does.

    Parameters
    ----------
    folder : Path
    name : str, optional
        Of what only one run at a time does there.
    patience : float, optional
        How long to wait for the other one, s.

    Raises
    ------
    OutputError
        Another run is at work there, or the folder cannot be written.

    """
    from filelock import FileLock, Timeout

    path = folder / f"{name}.lock"
    # Where a file system has no locks, a file in their place would outlive a run that is killed.
    lock = FileLock(path, fallback_to_soft=False)
    try:
        lock.acquire(timeout=patience)
    except Timeout as error:
        raise OutputError(
            f"Another run is at work in '{folder}'",
            f"it has locked {path.name}, and their results would be mixed",
            "Wait until it has ended, or work in another folder",
        ) from error
    except (OSError, NotImplementedError) as error:  # the latter is filelock's, of a system that lacks flock
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise explain(error, f"'{path}'") from error
        warnings.warn(f"The file system of '{folder}' has no locks: nothing keeps another run out of it", stacklevel=3)
        yield
        return
    try:
        yield
    finally:
        # Windows removes no file that is open.
        with suppress(OSError):
            path.unlink()
        lock.release()


def _read_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


# Once: reading it sets it for a moment, for all threads.
_UMASK = _read_umask()
