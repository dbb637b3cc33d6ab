"""Packed models: tensors as safetensors, everything else as JSON, and nothing to execute.

A packed model is a pair of files of one name. ``NAME.json`` holds the format version, the architecture, its
hyperparameters, the model card, a fingerprint, and the SHA-256 of ``NAME.safetensors``; so the digest of the JSON file
stands for both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelFileError
from ..files import encode_json, parse_json, write_file
from .architecture import ARCHITECTURE, STORED_BUFFERS, build_module, extract_hyperparameters
from .cards import ModelCard, card_from_json
from .hyperparameters import Hyperparameters

if TYPE_CHECKING:
    import torch

__all__ = [
    "FORMAT_VERSION",
    "Fingerprint",
    "PackedModel",
    "read_packed",
    "save_packed",
    "write_fingerprint",
]

#: Version of the layout of the JSON file.
FORMAT_VERSION = 1

_FORMAT = "mace-mof-calc model"
_KEYS = frozenset({"format", "version", "architecture", "hyperparameters", "card", "sha256"})
_AGREEMENT = 1e-5  # relative; models trained in float32 hold their constants rounded to it


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a model gives for a structure of this package, recorded when it was packed.

    Attributes
    ----------
    structure : str
        Name of the structure, as `structures.load` knows it.
    energy : float
        Energy of its cell in eV, in float64.
    max_force : float
        Length of its longest force vector in eV/Angstrom.
    """

    structure: str
    energy: float
    max_force: float


@dataclass(frozen=True, slots=True)
class PackedModel:
    """Content of a packed model.

    Attributes
    ----------
    hyperparameters : Hyperparameters
        What to build.
    state : mapping of str to torch.Tensor
        Parameters, and the buffers that do not follow from the hyperparameters.
    card : ModelCard
        What the model is; its digest is that of the JSON file.
    fingerprint : Fingerprint or None
        Recorded result.
    """

    hyperparameters: Hyperparameters
    state: Mapping[str, torch.Tensor]
    card: ModelCard
    fingerprint: Fingerprint | None


def save_packed(module: torch.nn.Module, stem: str | Path, card: Mapping[str, Any]) -> Path:
    """Pack a model.

    Parameters are stored in float32, the energies of the free atoms, scales and shifts in float64. Each file appears
    in one step, the JSON file last.

    Parameters
    ----------
    module : torch.nn.Module
        A ``ScaleShiftMACE``.
    stem : str or Path
        Path of the files without suffix.
    card : mapping
        Fields of `models.cards.ModelCard` but `filename`, `url` and `digest`; ``validation`` as a list of mappings
        with the fields of `models.cards.ValidationRow`.

    Returns
    -------
    Path
        The JSON file.

    Raises
    ------
    ModelFileError
        If the model is of another architecture, or the card lacks a field.
    """
    import torch
    from safetensors.torch import save

    state = {name: tensor.detach().cpu() for name, tensor in module.state_dict().items()}
    hyperparameters = extract_hyperparameters(module, state)
    parameters = {name for name, _ in module.named_parameters()}
    stored = {name: state[name].to(torch.float32).contiguous() for name in parameters}
    stored |= {name: state[name].to(torch.float64).contiguous() for name in STORED_BUFFERS}
    _check_rebuilt(hyperparameters, state, stored)

    path = Path(stem).with_name(Path(stem).name + ".json")
    content = save(stored)
    document: dict[str, Any] = {
        "format": _FORMAT,
        "version": FORMAT_VERSION,
        "architecture": ARCHITECTURE,
        "hyperparameters": hyperparameters.to_json(),
        "card": dict(card),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    card_from_json(document["card"], filename=path.name, digest="")
    write_file(path.with_suffix(".safetensors"), content)
    write_file(path, encode_json(document))
    return path


def write_fingerprint(path: Path, fingerprint: Fingerprint) -> None:
    """Add a fingerprint to the JSON file of a packed model, or replace it.

    Parameters
    ----------
    path : Path
        The JSON file.
    fingerprint : Fingerprint
        What the model gives.
    """
    document = json.loads(path.read_bytes())
    write_file(path, encode_json({**document, "fingerprint": asdict(fingerprint)}))


def read_packed(path: Path) -> PackedModel:
    """Read a packed model.

    Parameters
    ----------
    path : Path
        The JSON file; the safetensors file lies beside it.

    Returns
    -------
    PackedModel

    Raises
    ------
    ModelFileError
        If either file is missing, damaged, or does not belong to the other.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    content = path.read_bytes()
    try:
        document = parse_json(content)
    except ValueError as error:
        raise ModelFileError(f"{path} is not a packed model", f"It is not JSON: {error}", "Check its source") from error
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise ModelFileError(
            f"{path} is not a packed model", f"It does not say format = {_FORMAT!r}", "Check its source"
        )
    if document.get("version") != FORMAT_VERSION:
        raise ModelFileError(
            f"{path} has format version {document.get('version')!r}",
            f"This version of mace-mof-calc reads version {FORMAT_VERSION}",
            "Update mace-mof-calc",
        )
    missing, unknown = _KEYS - set(document), set(document) - _KEYS - {"fingerprint"}
    if missing or unknown or document["architecture"] != ARCHITECTURE:
        raise ModelFileError(
            f"{path} is not a packed {ARCHITECTURE}",
            f"missing: {', '.join(sorted(missing)) or 'none'}; unknown: {', '.join(sorted(unknown)) or 'none'}",
            "Write it with mace_mof_calc.models.packed.save_packed",
        )
    if not all(isinstance(document[key], dict) for key in ("hyperparameters", "card")):
        raise ModelFileError(f"{path} is not a packed {ARCHITECTURE}", "Its tables are not tables", "Check its source")
    weights = _read_weights(path.with_suffix(".safetensors"), document["sha256"])
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    try:
        return PackedModel(
            hyperparameters=Hyperparameters.from_json(document["hyperparameters"]),
            state=load(weights),
            card=card_from_json(document["card"], filename=path.name, digest=digest),
            fingerprint=Fingerprint(**document["fingerprint"]) if "fingerprint" in document else None,
        )
    except (SafetensorError, TypeError) as error:
        raise ModelFileError(f"{path} cannot be read", str(error), "Write it again") from error


def _read_weights(path: Path, sha256: str) -> bytes:
    if not path.is_file():
        raise ModelFileError(f"{path} is missing", "A packed model is a pair of files", "Put it beside its JSON file")
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ModelFileError(
            f"{path} does not belong to its JSON file",
            f"Expected sha256:{sha256}, found sha256:{found} ({len(content)} bytes)",
            "Copy both files again",
        )
    return content


def _check_rebuilt(
    hyperparameters: Hyperparameters, state: Mapping[str, torch.Tensor], stored: Mapping[str, torch.Tensor]
) -> None:
    """Check that what is not stored follows from the hyperparameters."""
    import torch

    rebuilt = build_module(hyperparameters, stored, dtype=torch.float64).state_dict()
    # ASE's radii are of all elements, and have changed for some that no model knows.
    elements = torch.tensor(hyperparameters.atomic_numbers)
    for name, expected in rebuilt.items():
        if name not in state:
            continue
        found = state[name].to(expected)
        if name.endswith(".covalent_radii"):
            found, expected = found[elements], expected[elements]
        if not torch.allclose(expected, found, rtol=_AGREEMENT, atol=_AGREEMENT):
            raise ModelFileError(
                f"The model cannot be packed: its {name} does not follow from its hyperparameters",
                "It was made with an option or a version of mace that this package does not know",
                "Keep it as a .model file",
            )
