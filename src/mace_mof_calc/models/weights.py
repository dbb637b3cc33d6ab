"""Finding, fetching and verifying model files."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import ModelFileError, WeightsError
from .cards import CARDS, EMBEDDED_DIRECTORY, ModelCard, get_card
from .own import MODELS_VARIABLE, find_own

__all__ = [
    "MODELS_VARIABLE",
    "cache_directory",
    "card_of_file",
    "compute_digest",
    "fetch",
    "find",
    "resolve",
    "verify_digest",
]

_BLOCK = 1 << 20  # bytes
_TIMEOUT = 60.0  # seconds without a byte from the server


def cache_directory() -> Path:
    """Return the folder that fetched models are kept in (it need not exist)."""
    from platformdirs import user_cache_path

    return user_cache_path("mace-mof-calc", appauthor=False) / "models"


def resolve(model: str | Path, *, allow_fetch: bool = True) -> Path:
    """Find the file of a model, fetching it where it must be.

    A registered name is looked up in the package, then in the folder that ``MACE_MOF_MODELS`` names, then in the
    cache, and is fetched at last. The name of a model of the user's own is looked up in their folder
    (`own.own_directory`). Anything else is a path. A file whose digest is published is verified wherever it is found.

    Parameters
    ----------
    model : str or Path
        Registered name, or path to a ``.model``, ``.json`` or ``.safetensors`` file.
    allow_fetch : bool, optional
        Whether the network may be used.

    Returns
    -------
    Path
        The file; for a packed model its JSON file.

    Raises
    ------
    UnknownModelError
        If `model` is neither a registered name nor looks like a path.
    ModelFileError
        If it looks like a path and no file is there.
    WeightsError
        If the weights are not here and cannot be fetched, or are not the published ones.
    """
    if isinstance(model, Path) or model not in CARDS:
        return (isinstance(model, str) and find_own(model)) or _explicit_path(model)
    path = find(model)
    if path is not None:
        return path
    card = CARDS[model]
    if not allow_fetch:
        raise WeightsError(
            f"The weights of {model!r} are not on this machine",
            f"Neither the folder of {MODELS_VARIABLE} nor {cache_directory()} holds {card.filename}",
            f"Run 'mace-mof fetch {model}'",
        )
    return fetch(model)


def find(name: str) -> Path | None:
    """Find the file of a registered model on this machine, and verify it.

    Parameters
    ----------
    name : str
        Registered name.

    Returns
    -------
    Path or None
        None if the file is not on this machine.

    Raises
    ------
    UnknownModelError
        If there is no such model.
    WeightsError
        If a file of that name is here and is not the published one.
    """
    card = get_card(name)
    if card.embedded:
        return EMBEDDED_DIRECTORY / card.filename
    for directory in _search_path():
        path = directory / card.filename
        if path.is_file():
            verify_digest(path, card)
            return path
    return None


def fetch(name: str, *, progress: bool = True, url: str | None = None) -> Path:
    """Fetch the weights of a model into the cache.

    The file is verified before it takes its place in the cache, where it appears in one step: neither a broken
    transfer nor two processes at once can leave part of a file there. A file in the cache that is not the published
    one, or not whole where no digest is published, is replaced.

    Parameters
    ----------
    name : str
        Registered name.
    progress : bool, optional
        Whether to draw a progress bar on standard error.
    url : str, optional
        Address to use instead of the one in the card, for a mirror. The digest of the card still holds.

    Returns
    -------
    Path
        The file in the cache.

    Raises
    ------
    UnknownModelError
        If there is no such model.
    WeightsError
        If the file cannot be fetched or stored, or is not the published one.
    """
    card = get_card(name)
    if card.embedded:
        return EMBEDDED_DIRECTORY / card.filename
    target = cache_directory() / card.filename
    source = url or card.url
    assert source is not None
    try:
        if target.is_file():
            if _is_good(target, card):
                return target
            target.unlink(missing_ok=True)  # pooch would keep it
        _download(source, target, card, progress=progress)
    except WeightsError:
        raise
    except OSError as error:  # the exceptions of requests are OSErrors
        raise _explain_failure(error, source, target, name) from error
    return target


def compute_digest(path: Path, kind: str) -> str:
    """Compute the digest of a file.

    Parameters
    ----------
    path : Path
        The file.
    kind : {'git-blob', 'sha256'}
        ``git-blob`` is the SHA-1 over ``blob <size>``, a zero byte and the content, as git names its objects.

    Returns
    -------
    str
        ``<kind>:<hexadecimal digits>``.
    """
    if kind == "git-blob":
        hasher = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    else:
        hasher = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            hasher.update(block)
    return f"{kind}:{hasher.hexdigest()}"


def verify_digest(path: Path, card: ModelCard) -> None:
    """Check that a file is the one its card describes.

    Parameters
    ----------
    path : Path
        The file.
    card : ModelCard
        Its card; without a digest there is nothing to check.

    Raises
    ------
    WeightsError
        If the digest is another one, with what was expected and what was found.
    """
    if card.digest is None:
        return
    found = compute_digest(path, card.digest.partition(":")[0])
    if found != card.digest:
        raise WeightsError(
            f"{path} is not the published file of {card.name!r}",
            f"Expected {card.digest}, found {found} ({path.stat().st_size} bytes)",
            f"Remove it and run 'mace-mof fetch {card.name}'",
        )


def card_of_file(path: Path) -> ModelCard | None:
    """Recognise a registered model by its content, wherever it lies and whatever it is called.

    Parameters
    ----------
    path : Path
        Any file.

    Returns
    -------
    ModelCard or None
    """
    kinds = {card.digest.partition(":")[0] for card in CARDS.values() if card.digest is not None}
    digests = {compute_digest(path, kind) for kind in kinds}
    return next((card for card in CARDS.values() if card.digest in digests), None)


def _search_path() -> list[Path]:
    configured = os.environ.get(MODELS_VARIABLE)
    return [*([Path(configured).expanduser()] if configured else []), cache_directory()]


def _explicit_path(model: str | Path) -> Path:
    path = Path(model).expanduser()
    if path.suffix == ".safetensors":
        path = path.with_suffix(".json")
    try:
        if path.is_file():
            return path
        is_folder = path.is_dir()
    except OSError as error:  # a name that is too long, a folder that is closed
        raise ModelFileError(f"There is no model file {path}", str(error), "Check the path") from error
    if is_folder:
        raise ModelFileError(f"{path} is a folder", "A model is a file", "Name the .model or .json file in it")
    if isinstance(model, str) and not path.suffix and path.name == model:
        get_card(model)  # raises UnknownModelError with the close names
    raise ModelFileError(f"There is no model file {path}", "", "Check the path, or see 'mace-mof models' for names")


def _is_good(path: Path, card: ModelCard) -> bool:
    if card.digest is None:
        return zipfile.is_zipfile(path)  # its directory comes last, so that it is whole
    return compute_digest(path, card.digest.partition(":")[0]) == card.digest


def _download(url: str, target: Path, card: ModelCard, *, progress: bool) -> None:
    import pooch

    transfer = pooch.HTTPDownloader(progressbar=progress, timeout=_TIMEOUT)

    def download_and_verify(url: str, output_file: str, pooch: object) -> None:
        transfer(url, output_file, pooch)
        _check_download(Path(output_file), url, card)

    with _quiet(pooch.get_logger()):
        pooch.retrieve(
            url,
            known_hash=None,
            fname=target.name,
            path=target.parent,
            downloader=download_and_verify,
            progressbar=False,
        )


def _check_download(path: Path, url: str, card: ModelCard) -> None:
    """Verify a fetched file before it enters the cache; `pooch` knows no git blob ids."""
    if _is_good(path, card):
        return
    if card.digest is not None:
        found = compute_digest(path, card.digest.partition(":")[0])
        why = f"Expected {card.digest}, found {found} ({path.stat().st_size} bytes)"
    else:
        why = f"Expected a file written by PyTorch, found {path.stat().st_size} bytes of something else"
    with path.open("rb") as file:
        start = file.read(512)
    if start.lstrip()[:1] == b"<":
        why += ". It is a web page, as a proxy or a login would send"
    raise WeightsError(
        f"The file fetched from {url} is not the published one of {card.name!r}",
        why,
        "Nothing was kept. Try again, or fetch it on another network",
    )


def _explain_failure(error: OSError, url: str, target: Path, name: str) -> WeightsError:
    by_hand = (
        f"On a machine with a network run: curl --location --fail --output {target.name} {url}\n"
        f"and copy the file to {target} or to a folder named by {MODELS_VARIABLE}"
    )
    if error.errno == errno.ENOSPC:
        return WeightsError(
            f"The disk is full: the weights of {name!r} could not be stored as {target}",
            str(error),
            f"Free some space, or set {MODELS_VARIABLE} to a folder elsewhere and put the file there ({url})",
        )
    if isinstance(error, PermissionError | FileExistsError | NotADirectoryError) or error.errno == errno.EROFS:
        return WeightsError(
            f"The cache cannot be written: the weights of {name!r} could not be stored as {target}",
            str(error),
            f"Make the folder writable, or set {MODELS_VARIABLE} to a folder elsewhere and put the file there ({url})",
        )
    return WeightsError(f"The weights of {name!r} could not be fetched from {url} to {target}", _reason(error), by_hand)


def _reason(error: BaseException) -> str:
    """Return the innermost message: requests wraps those of urllib3, which wrap those of the system."""
    for inner in (getattr(error, "reason", None), *error.args):
        if isinstance(inner, BaseException):
            return _reason(inner)
    return str(error)


@contextlib.contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Keep pooch from writing to standard error, which it does by default."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
