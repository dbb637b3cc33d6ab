"""Model cards: what each model is, where its weights come from, and how they are recognised."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import ModelFileError, UnknownModelError
from ..files import parse_json
from .own import list_own

__all__ = [
    "CARDS",
    "EMBEDDED_DIRECTORY",
    "GFN1_ELEMENTS",
    "OPEN_SHELL",
    "ModelCard",
    "ValidationRow",
    "card_from_json",
    "get_card",
    "read_card",
]

#: Folder of the models that ship inside the package.
EMBEDDED_DIRECTORY = Path(__file__).parents[1] / "data" / "models"


@dataclass(frozen=True, slots=True)
class ValidationRow:
    """One line of the acceptance table of a model.

    Attributes
    ----------
    quantity : str
        What was compared, with its unit.
    result : str
        The value found.
    criterion : str or None
        The one asked for; None where none was.
    met : bool or None
        Whether the criterion is met.
    """

    quantity: str
    result: str
    criterion: str | None
    met: bool | None


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a model is.

    Attributes
    ----------
    name : str
        Name in the registry.
    title : str
        Name in publications, or one line of description.
    level_of_theory : str
        What the labels of the training set were computed with.
    dispersion_included : bool
        Whether the labels hold dispersion, so that none may be added.
    elements : tuple of str
        Elements that the model has parameters for.
    curated_elements : tuple of str
        Elements of the curated set of metal-organic frameworks it was trained on; empty where there was none.
    filename : str
        Name of the file in a folder of models and in the cache.
    url : str or None
        Where the file is fetched from; None for a model that ships inside the package.
    digest : str or None
        ``git-blob:`` and the git blob id of the file, or ``sha256:`` and its SHA-256; None where none is published.
    licence, citation, doi : str
        Terms of use and the publication to cite.
    mace_version : str
        Oldest version of mace-torch that the model works with.
    notes : str
        What else the user must know.
    validation : tuple of ValidationRow
        Acceptance table, misses included; empty where there is none.
    """

    name: str
    title: str
    level_of_theory: str
    dispersion_included: bool
    elements: tuple[str, ...]
    curated_elements: tuple[str, ...]
    filename: str
    url: str | None
    digest: str | None
    licence: str
    citation: str
    doi: str
    mace_version: str
    notes: str = ""
    validation: tuple[ValidationRow, ...] = ()

    @property
    def embedded(self) -> bool:
        """Whether the model ships inside the package."""
        return self.url is None


def _symbols(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# The elements of the Materials Project trajectories, Z = 1-83 and 89-94.
_MP_ELEMENTS = _symbols(
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb "
    "Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au "
    "Hg Tl Pb Bi Ac Th Pa U Np Pu"
)
_CURATED_ELEMENTS = _symbols("H C N O F Mg Al Si P S Cl Ti Cu Zn Ga Br Sr Zr Cd In Sn I Ce Hf")

#: Metals whose ions in frameworks have unpaired d or f electrons as a rule. Not among them: Ti, Zr, Hf and Ce, which
#: are in their highest oxidation state there (d0 and f0), metals of full shells, and Mo, Rh, Pd and heavier ones, whose
#: electrons pair.
OPEN_SHELL = frozenset(_symbols("V Cr Mn Fe Co Ni Cu Ru Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb U Np Pu"))

#: GFN1-xTB has parameters for the elements up to radon.
GFN1_ELEMENTS = 86

_MOF0_DATA = "https://raw.githubusercontent.com/ddmms/data/b470513db93f5fe852f75b27141ad98cf20535ec/mace-mof-0"
_MOF0_CITATION = (
    "A. M. Elena, P. D. Kamath, T. Jaffrelot Inizan et al., Machine learned potential for high-throughput phonon "
    "calculations of metal-organic frameworks, npj Comput. Mater. 11, 125 (2025)"
)
_MOF0_NOTES = (
    "Fine-tuned from MACE-MP-0b (medium) on 127 metal-organic frameworks. Dispersion is part of the labels: add none. "
    "Cu, the one open-shell metal of the curated set, is known to be described poorly."
)


def _mof0(name: str, title: str, folder: str, filename: str, blob: str) -> ModelCard:
    return ModelCard(
        name=name,
        title=title,
        level_of_theory="PBE-D3(BJ)",
        dispersion_included=True,
        elements=_MP_ELEMENTS,
        curated_elements=_CURATED_ELEMENTS,
        filename=filename,
        url=f"{_MOF0_DATA}/{folder}/{filename}",
        digest=f"git-blob:{blob}",
        licence="CC BY 4.0",
        citation=_MOF0_CITATION,
        doi="10.1038/s41524-025-01611-8",
        mace_version="0.3.8",
        notes=_MOF0_NOTES,
    )


_PUBLISHED = (
    _mof0("mof0", "MACE-MP-MOF0", "v1", "mofs_v1.model", "32ce4dfe5bc8e41ba17984e46cfe3f5b95bb08a0"),
    _mof0("mof0-v2", "MACE-MP-MOF0-v2", "v2", "mofs_v2.model", "7fc2362f5338034bf930d068a1bca654947a6cb2"),
    ModelCard(
        name="mp-0b",
        title="MACE-MP-0b (medium)",
        level_of_theory="PBE(+U)",
        dispersion_included=False,
        elements=_MP_ELEMENTS,
        curated_elements=(),
        filename="mace_agnesi_medium.model",
        url="https://github.com/ACEsuit/mace-mp/releases/download/mace_mp_0b/mace_agnesi_medium.model",
        digest=None,
        licence="MIT",
        citation="I. Batatia et al., A foundation model for atomistic materials chemistry, arXiv:2401.00096 (2023)",
        doi="10.48550/arXiv.2401.00096",
        mace_version="0.3.8",
        notes=(
            "Not trained on dispersion: mp-0b-d3 adds it. No digest of the file is published, so it cannot be "
            "verified; it is read without running anything in it, like every model file."
        ),
    ),
)

_CARD_FIELDS = frozenset(field.name for field in fields(ModelCard)) - {"filename", "url", "digest", "validation"}
_TUPLE_FIELDS = frozenset({"elements", "curated_elements"})


def card_from_json(data: Mapping[str, Any], *, filename: str, digest: str) -> ModelCard:
    """Make the card of a packed model.

    Parameters
    ----------
    data : mapping
        The entry ``card`` of the JSON file: every field of `ModelCard` but `filename`, `url` and `digest`.
    filename : str
        Name of the JSON file.
    digest : str
        Digest of the JSON file, which holds that of the weights.

    Returns
    -------
    ModelCard

    Raises
    ------
    ModelFileError
        If a field is missing, unknown or of another type.
    """
    unknown = set(data) - _CARD_FIELDS - {"validation"}
    missing = _CARD_FIELDS - set(data) - {"notes"}
    if unknown or missing:
        raise ModelFileError(
            f"The card in {filename} does not have the fields of a model card",
            f"missing: {', '.join(sorted(missing)) or 'none'}; unknown: {', '.join(sorted(unknown)) or 'none'}",
            "Write the file with mace_mof_calc.models.packed.save_packed",
        )
    values: dict[str, Any] = {}
    for key in _CARD_FIELDS & set(data):
        value = data[key]
        if key in _TUPLE_FIELDS:
            valid = isinstance(value, list | tuple) and all(_is_text(item) for item in value)
        else:
            valid = isinstance(value, bool) if key == "dispersion_included" else _is_text(value)
        if not valid:
            raise ModelFileError(
                f"The card in {filename} has {key} = {value!r}",
                "The type is wrong",
                "See mace_mof_calc.models.cards.ModelCard",
            )
        values[key] = tuple(value) if key in _TUPLE_FIELDS else value
    try:
        rows = tuple(_read_row(**row) for row in data.get("validation", ()))
    except (TypeError, ValueError) as error:
        raise ModelFileError(
            f"The acceptance table in the card of {filename} is malformed",
            str(error),
            "Each row has quantity, result, criterion and met",
        ) from error
    return ModelCard(**values, filename=filename, url=None, digest=digest, validation=rows)


def _read_row(quantity: Any, result: Any, criterion: Any, met: Any) -> ValidationRow:
    if not (_is_text(quantity) and _is_text(result) and (criterion is None or _is_text(criterion))):
        raise TypeError("Quantity, result and criterion are not text")
    if not (met is None or isinstance(met, bool)):
        raise TypeError(f"met = {met!r} is neither true nor false")
    return ValidationRow(quantity, result, criterion, met)


def _is_text(value: Any) -> bool:
    """Return whether a value is text that can be written; JSON can hold halves of characters, too."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def read_card(path: Path) -> ModelCard:
    """Read the card of a packed model, without its weights.

    Parameters
    ----------
    path : Path
        The JSON file.

    Raises
    ------
    ModelFileError
        It holds no card.
    """
    try:
        content = path.read_bytes()
        card = dict(parse_json(content)["card"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError(
            f"{path} is not a packed model", f"{type(error).__name__}: {error}", "Check its source"
        ) from error
    return card_from_json(card, filename=path.name, digest=f"sha256:{hashlib.sha256(content).hexdigest()}")


def _embedded_cards() -> list[ModelCard]:
    return [read_card(path) for path in sorted(EMBEDDED_DIRECTORY.glob("*.json"))]


#: The registered models by name, read-only.
CARDS: Mapping[str, ModelCard] = MappingProxyType({card.name: card for card in (*_PUBLISHED, *_embedded_cards())})


def get_card(name: str) -> ModelCard:
    """Look up a model.

    Parameters
    ----------
    name : str
        Name in the registry, such as ``mof0``.

    Returns
    -------
    ModelCard

    Raises
    ------
    UnknownModelError
        If there is no such model; the message names the close ones.
    """
    try:
        return CARDS[name]
    except KeyError:
        known = [*CARDS, *list_own()]
        close = difflib.get_close_matches(name, known, n=3)
        guess = f"Did you mean {' or '.join(map(repr, close))}? " if close else ""
        raise UnknownModelError(
            f"There is no model {name!r}",
            "",
            f"{guess}Known models: {', '.join(known)}. A path to a .model or .json file works too",
        ) from None
