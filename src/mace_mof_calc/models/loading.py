"""Loading of models: from a name or file to a module that computes, without running anything in the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ase.data import chemical_symbols

from ..backend import import_mace, jit_without_warning
from ..errors import DeviceError, ModelFileError, PrecisionError, UnknownHeadError
from .architecture import build_module, extract_hyperparameters
from .cards import CARDS, ModelCard
from .hyperparameters import Hyperparameters
from .packed import read_packed
from .pickled import Record, read_model_file
from .weights import card_of_file, compute_digest, resolve

if TYPE_CHECKING:
    import torch

__all__ = ["LoadedModel", "choose_head", "import_mace", "load"]

_REPLAY_HEADS = frozenset({"pt_head", "pt", "replay"})


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that is ready to compute.

    Attributes
    ----------
    module : torch.nn.Module
        The ``ScaleShiftMACE``, in evaluation mode, its parameters without gradients, on the device and in the dtype
        asked for.
    name : str
        Registered name, or the name of the file without suffix.
    path : Path
        The file; of a packed model the JSON file.
    digest : str
        ``git-blob:...`` for the published files, ``sha256:...`` for all others.
    head : str
        The head to evaluate.
    heads : tuple of str
        All heads, in the order of the outputs of the module.
    elements : tuple of str
        Chemical symbols that the model knows, by atomic number.
    r_max : float
        Cutoff in Angstrom of one layer of message passing.
    card : ModelCard or None
        The card, for packed models and for files that are recognised as registered ones by their digest.
    """

    module: torch.nn.Module
    name: str
    path: Path
    digest: str
    head: str
    heads: tuple[str, ...]
    elements: tuple[str, ...]
    r_max: float
    card: ModelCard | None


def load(
    model: str | Path,
    *,
    device: str = "cpu",
    dtype: str = "float64",
    head: str | None = None,
    trust: bool = False,
) -> LoadedModel:
    """Load a model.

    Parameters
    ----------
    model : str or Path
        Registered name, or path to a ``.model`` file or a packed model (``.json`` or ``.safetensors``).
    device : str, optional
        Device in PyTorch's notation, such as ``cpu`` or ``cuda:0``.
    dtype : {'float64', 'float32'}, optional
        Precision of the computation, whatever that of the file.
    head : str, optional
        Head of a multi-head model. By default the fine-tuned one; see `choose_head`.
    trust : bool, optional
        Read a ``.model`` file with plain ``torch.load``, which runs whatever program is in it. Only for files of your
        own.

    Returns
    -------
    LoadedModel

    Raises
    ------
    UnknownModelError, WeightsError
        See `weights.resolve`.
    ModelFileError, UnsafeModelError
        If the file is no model, is damaged, holds an architecture that this package does not know, or asks for code.
    UnknownHeadError, PrecisionError, DeviceError
        If there is no such head, dtype or device.
    """
    import torch

    if dtype not in ("float64", "float32"):
        raise PrecisionError(
            f"Precision {dtype!r} was asked for", "MACE computes in float64 and float32", "Use one of these"
        )
    path = resolve(model)
    module, card = _load_module(path, getattr(torch, dtype), trust=trust)
    if isinstance(model, str) and model in CARDS:
        card = CARDS[model]
    heads = tuple(getattr(module, "heads", ("Default",)))
    digest = card.digest if card is not None and card.digest is not None else compute_digest(path, "sha256")
    return LoadedModel(
        module=_move(module, device),
        name=path.stem if card is None else card.name,
        path=path,
        digest=digest,
        head=choose_head(heads, head),
        heads=heads,
        elements=tuple(chemical_symbols[int(number)] for number in _tensor(module, "atomic_numbers")),
        r_max=float(_tensor(module, "r_max")),
        card=card,
    )


def choose_head(heads: tuple[str, ...], wanted: str | None = None) -> str:
    """Choose the head to evaluate.

    Without a wish it is the only head there is besides the replay head of a multi-head fine-tuning (``pt_head``), or,
    of several, the one called ``default`` in any case of letters. The replay head is used only where it is named.

    Parameters
    ----------
    heads : tuple of str
        The heads of the model.
    wanted : str, optional
        The head asked for.

    Returns
    -------
    str

    Raises
    ------
    UnknownHeadError
        If the model has no such head, or none was asked for and the choice is not clear.
    """
    if wanted is not None:
        if wanted in heads:
            return wanted
        raise UnknownHeadError(f"The model has no head {wanted!r}", "", f"Its heads are {', '.join(heads)}")
    tuned = [head for head in heads if head.lower() not in _REPLAY_HEADS] or list(heads)
    if len(tuned) == 1:
        return tuned[0]
    defaults = [head for head in tuned if head.lower() == "default"]
    if len(defaults) == 1:
        return defaults[0]
    raise UnknownHeadError(
        f"The model has several heads ({', '.join(heads)})", "None of them is the obvious one", "Name one with head=..."
    )


def _load_module(path: Path, dtype: torch.dtype, *, trust: bool) -> tuple[torch.nn.Module, ModelCard | None]:
    if path.suffix == ".json":
        packed = read_packed(path)
        return build_module(packed.hyperparameters, packed.state, dtype=dtype), packed.card
    if trust:
        return _load_trusted(path).to(dtype).requires_grad_(requires_grad=False).eval(), card_of_file(path)
    record = read_model_file(path)
    state = record.read_state()
    return build_module(_understand(record, state, path), state, dtype=dtype), card_of_file(path)


def _understand(record: Record, state: Mapping[str, torch.Tensor], path: Path) -> Hyperparameters:
    try:
        return extract_hyperparameters(record, state)
    except ModelFileError:
        raise
    except Exception as error:  # what a damaged file lacks shows up anywhere
        raise ModelFileError(
            f"{path} cannot be understood as a MACE model", f"{type(error).__name__}: {error}", "Fetch it again"
        ) from error


def _load_trusted(path: Path) -> torch.nn.Module:
    import torch

    import_mace()
    try:
        with jit_without_warning():
            module = torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:  # a pickle raises whatever the program in it raises
        raise ModelFileError(
            f"PyTorch cannot load {path}", f"{type(error).__name__}: {error}", "Check its source"
        ) from error
    if not isinstance(module, torch.nn.Module) or not hasattr(module, "atomic_numbers"):
        raise ModelFileError(f"{path} holds no MACE model", f"It holds a {type(module).__name__}", "Check its source")
    return module


def _tensor(module: torch.nn.Module, name: str) -> torch.Tensor:
    tensor: torch.Tensor = getattr(module, name)
    return tensor


def _move(module: torch.nn.Module, device: str) -> torch.nn.Module:
    try:
        return module.to(device)
    except (RuntimeError, AssertionError) as error:
        why = str(error).partition("\n")[0]
        raise DeviceError(
            f"Device {device!r} cannot be used", why, "Use cpu, or install PyTorch for that device"
        ) from error
