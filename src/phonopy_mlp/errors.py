"""Errors that say what happened, why, and what to do."""

from __future__ import annotations


class PhonopyMlpError(Exception):
    """An error with a remedy.

    Parameters
    ----------
    what : str
        What happened, with the value received.
    why : str
        Why it is an error.
    remedy : str
        What to do about it.

    """

    def __init__(self, what: str, why: str, remedy: str) -> None:
        self.what, self.why, self.remedy = (" ".join(part.split()).rstrip(".") for part in (what, why, remedy))
        super().__init__(f"{self.what}: {self.why}. {self.remedy}{'' if self.remedy.endswith('?') else '.'}")

    def __reduce__(self) -> tuple[type[PhonopyMlpError], tuple[str, str, str]]:
        return type(self), (self.what, self.why, self.remedy)


class StructureError(PhonopyMlpError, ValueError):
    """A structure that cannot be used."""


class CalculatorError(PhonopyMlpError, ValueError):
    """A calculator that is unknown, cannot be made, or failed."""


class SettingsError(PhonopyMlpError, ValueError):
    """An option with a value that makes no sense."""


class ConvergenceError(PhonopyMlpError, RuntimeError):
    """A relaxation that did not reach its goal."""


class StabilityError(PhonopyMlpError, RuntimeError):
    """A crystal that could not be made stable."""


class ImaginaryModesError(PhonopyMlpError, RuntimeError):
    """A crystal that is not at a minimum of its energy where a method needs it to be."""


class OutputError(PhonopyMlpError, OSError):
    """A file or folder that cannot be written."""


class StructureWarning(UserWarning):
    """Something about a structure that its user should know."""
