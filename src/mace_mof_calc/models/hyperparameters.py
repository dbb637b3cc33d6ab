"""Hyperparameters of the one architecture of this package, as plain data that is checked wherever it comes from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import ModelFileError

__all__ = ["Hyperparameters"]

_INTERACTIONS = frozenset(
    {
        "RealAgnosticDensityInteractionBlock",
        "RealAgnosticDensityResidualInteractionBlock",
        "RealAgnosticInteractionBlock",
        "RealAgnosticResidualInteractionBlock",
    }
)


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """What determines a ``ScaleShiftMACE`` up to its tensors.

    Names and meaning are those of mace's constructor, the values plain numbers, strings and lists.

    Attributes
    ----------
    r_max : float
        Cutoff in Angstrom.
    num_bessel, num_polynomial_cutoff, max_ell, num_interactions : int
        Radial basis functions, order of the cutoff polynomial, largest degree of the spherical harmonics, layers.
    interaction_cls, interaction_cls_first : str
        Interaction blocks of the later layers and of the first.
    hidden_irreps, MLP_irreps : str
        Features of the nodes; hidden features of the last readout, per head.
    correlation : tuple of int
        Correlation order of each layer.
    radial_MLP : tuple of int
        Hidden features of the radial networks.
    atomic_numbers : tuple of int
        Elements, in the order of the tensors.
    heads : tuple of str
        Heads, in the order of the outputs.
    avg_num_neighbors : float
        Normalisation of the messages.
    pair_repulsion : bool
        Whether a Ziegler-Biersack-Littmark repulsion is added.
    distance_transform : {'None', 'Agnesi'}
        Transform of the distances.
    activation_constant : float
        Factor that gives the SiLU unit second moment; e3nn samples it, so it is part of the model.
    """

    r_max: float
    num_bessel: int
    num_polynomial_cutoff: int
    max_ell: int
    num_interactions: int
    interaction_cls: str
    interaction_cls_first: str
    hidden_irreps: str
    MLP_irreps: str
    correlation: tuple[int, ...]
    radial_MLP: tuple[int, ...]
    atomic_numbers: tuple[int, ...]
    heads: tuple[str, ...]
    avg_num_neighbors: float
    pair_repulsion: bool
    distance_transform: str
    activation_constant: float

    def __post_init__(self) -> None:
        """Check types and ranges, since the values come from files."""
        for name, (check, expected) in _SCHEMA.items():
            value = getattr(self, name)
            if not check(value):
                raise ModelFileError(f"The model has {name} = {value!r}", f"Expected {expected}", "Check its source")
        if len(self.correlation) != self.num_interactions:
            raise ModelFileError(
                f"The model has {self.num_interactions} layers and correlation = {list(self.correlation)}",
                "Expected one correlation order per layer",
                "Check where it is from",
            )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Hyperparameters:
        """Make hyperparameters of the entry of a JSON file; a missing or unknown name is a ModelFileError."""
        missing, unknown = set(_SCHEMA) - set(data), set(data) - set(_SCHEMA)
        if missing or unknown:
            raise ModelFileError(
                "The hyperparameters of the model are not those of this version",
                f"missing: {', '.join(sorted(missing)) or 'none'}; unknown: {', '.join(sorted(unknown)) or 'none'}",
                "Update mace-mof-calc, or write the file again",
            )
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in data.items()
        }
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e6


def _is_count(value: Any, low: int = 1, high: int = 1024) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_tuple(value: Any, *, of: Any, empty: bool = False) -> bool:
    return isinstance(value, tuple) and all(of(item) for item in value) and (empty or len(value) > 0)


def _is_irreps(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\d{1,4}x\d[eo](\+\d{1,4}x\d[eo])*", value) is not None


def _are_atomic_numbers(value: Any) -> bool:
    return _is_tuple(value, of=lambda z: _is_count(z, 1, 118)) and list(value) == sorted(set(value))


def _are_heads(value: Any) -> bool:
    return _is_tuple(value, of=lambda head: isinstance(head, str)) and len(set(value)) == len(value)


_SCHEMA: dict[str, tuple[Any, str]] = {
    "r_max": (_is_number, "a length in Angstrom"),
    "num_bessel": (_is_count, "a positive integer"),
    "num_polynomial_cutoff": (_is_count, "a positive integer"),
    "max_ell": (lambda value: _is_count(value, 0, 8), "an integer from 0 to 8"),
    "num_interactions": (lambda value: _is_count(value, 1, 16), "an integer from 1 to 16"),
    "interaction_cls": (_INTERACTIONS.__contains__, f"one of {', '.join(sorted(_INTERACTIONS))}"),
    "interaction_cls_first": (_INTERACTIONS.__contains__, f"one of {', '.join(sorted(_INTERACTIONS))}"),
    "hidden_irreps": (_is_irreps, "irreps such as 128x0e+128x1o"),
    "MLP_irreps": (_is_irreps, "irreps such as 16x0e"),
    "correlation": (lambda value: _is_tuple(value, of=lambda n: _is_count(n, 1, 4)), "integers from 1 to 4"),
    "radial_MLP": (lambda value: _is_tuple(value, of=_is_count, empty=True), "positive integers"),
    "atomic_numbers": (_are_atomic_numbers, "ascending atomic numbers"),
    "heads": (_are_heads, "names, each once"),
    "avg_num_neighbors": (_is_number, "a positive number"),
    "pair_repulsion": (lambda value: isinstance(value, bool), "true or false"),
    "distance_transform": ({"None", "Agnesi"}.__contains__, "'None' or 'Agnesi'"),
    "activation_constant": (_is_number, "a positive number"),
}
