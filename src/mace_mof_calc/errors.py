"""Errors of this package: what happened, why, and what to do about it."""

from __future__ import annotations

__all__ = [
    "AccelerationError",
    "CommitteeError",
    "DeviceError",
    "DispersionError",
    "DisplacementError",
    "DomainError",
    "FramesError",
    "MaceMofError",
    "MissingExtraError",
    "ModelFileError",
    "OutputError",
    "PrecisionError",
    "StructureError",
    "TrainingError",
    "UnknownHeadError",
    "UnknownModelError",
    "UnknownStructureError",
    "UnsafeModelError",
    "UnsupportedElementError",
    "WeightsError",
]


class MaceMofError(Exception):
    """Base of every error raised on purpose by this package.

    Parameters
    ----------
    what : str
        What happened, with the value received.
    why : str, optional
        The reason.
    remedy : str, optional
        What the user can do.

    Attributes
    ----------
    what, why, remedy : str
        The three texts; ``str(error)`` joins them into sentences.
    """

    def __init__(self, what: str, why: str = "", remedy: str = "") -> None:
        self.what = what
        self.why = why
        self.remedy = remedy
        super().__init__(" ".join(_as_sentence(text) for text in (what, why, remedy) if text))

    def __reduce__(self) -> tuple[type[MaceMofError], tuple[str, str, str]]:
        return type(self), (self.what, self.why, self.remedy)


def _as_sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?", "\n")) else f"{text}."


class UnknownModelError(MaceMofError, ValueError):
    """The name is no registered model and no file."""


class WeightsError(MaceMofError, OSError):
    """The weights could not be found, fetched or verified."""

    __str__ = Exception.__str__  # OSError's own expects an errno


class OutputError(MaceMofError, OSError):
    """A file cannot be written."""

    __str__ = Exception.__str__  # OSError's own expects an errno


class ModelFileError(MaceMofError, ValueError):
    """The file is not a model that this package can read."""


class UnsafeModelError(ModelFileError):
    """The file asks for code that no model of a known architecture needs; nothing was run."""


class UnknownHeadError(MaceMofError, ValueError):
    """The model has no such head, or several and none was chosen."""


class UnsupportedElementError(MaceMofError, ValueError):
    """The structure holds an element that the model was not trained on."""


class DispersionError(MaceMofError, ValueError):
    """A dispersion correction on top of a model that includes it already."""


class DisplacementError(MaceMofError, ValueError):
    """A displacement of an atom that is not there, or that is no vector."""


class DomainError(MaceMofError, ValueError):
    """The record of what a model was trained on cannot be made or read, or belongs to another model."""


class MissingExtraError(MaceMofError, ImportError):
    """An optional dependency is not installed."""


class DeviceError(MaceMofError, ValueError):
    """The device asked for does not exist here."""


class AccelerationError(MaceMofError, ValueError):
    """The engine does not compute in that way on this device."""


class PrecisionError(MaceMofError, ValueError):
    """The calculator does not compute in that precision."""


class StructureError(MaceMofError, ValueError):
    """A structure that no calculator can evaluate."""


class UnknownStructureError(MaceMofError, ValueError):
    """No example structure has that name."""


class CommitteeError(MaceMofError, ValueError):
    """Models that do not make a committee: their averages would mean nothing."""


class FramesError(MaceMofError, ValueError):
    """A file of structures that cannot be read, or lacks the labels that it must have."""


class TrainingError(MaceMofError, ValueError):
    """A step from structures to a model that cannot be done as it was asked for."""
