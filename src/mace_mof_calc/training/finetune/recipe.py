"""How a model is trained: the settings, and the command line of mace's trainer that they stand for."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from ...errors import TrainingError

OWN_HEAD, REPLAY_HEAD = "Default", "pt_head"
"""Names of the heads, as mace calls them."""

FOUNDATION = "mp-0b"
"""What a training starts from."""

EPOCHS, PATIENCE = 100, 20
"""Epochs at most, and those without improvement that end a training."""

TUNING = {"learning_rate": 1e-4, "averaging": 0.99999}
FROM_NOTHING = {"learning_rate": 1e-2, "averaging": 0.99}
"""What mace takes with a foundation model, and without."""

NOT_STATED = "not stated"

LARGEST_SEED = 2**32 - 1

Division = Literal["random", "fps"]
Energies = Literal["foundation", "free", "fit"]
Precision = Literal["float64", "float32"]
DIVISIONS, ENERGIES, PRECISIONS = (get_args(words) for words in (Division, Energies, Precision))


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network that is trained from nothing; all else is as in mace's own defaults, with features up to vectors.

    Attributes
    ----------
    channels : int
        Features of each degree.
    cutoff : float
        Of one layer, A.
    layers : int
        Of message passing.
    correlation : int
        Factors in the products of messages.
    """

    channels: int = 128
    cutoff: float = 6.0
    layers: int = 2
    correlation: int = 3

    def __post_init__(self) -> None:
        """Check the ranges."""
        counts = {"channels": self.channels, "layers": self.layers, "correlation": self.correlation}
        for name, value in {**counts, "cutoff": self.cutoff}.items():
            if not 0 < value < math.inf:
                raise TrainingError(f"The architecture has {name} = {value:g}", "It must be a number above 0", "")


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides the result besides the frames; how long it is trained is not part of it.

    Attributes
    ----------
    weights : tuple of float
        Of energies per atom, force components and stress components in the loss, in eV and A. The loss is mace's
        "universal" one, of Huber, which mace takes for all multi-head fine-tuning.
    learning_rate, averaging : float or None
        Learning rate, and decay of the moving average of the parameters, which is what is validated and kept. None
        for mace's own: 1e-4 and 0.99999 with a foundation model, 1e-2 and 0.99 without.
    batch : int
        Frames of one step.
    split : {'random', 'fps'}
        How frames are divided; see `split`.
    energies : {'foundation', 'free', 'fit'}
        Where the energies of atoms come from that a foundation model is tuned with: all its own, those of free atoms
        among the frames in their place, or its own as a fit to the frames corrects them.
    dtype : {'float64', 'float32'}
        Of the computation.
    seed : int
        Of the division, the order of the frames, and of fresh parameters.
    """

    weights: tuple[float, float, float] = (1.0, 10.0, 100.0)
    learning_rate: float | None = None
    averaging: float | None = None
    batch: int = 4
    split: Division = "random"
    energies: Energies = "foundation"
    dtype: Precision = "float64"
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not all(0 <= weight < math.inf for weight in self.weights) or max(self.weights) == 0:
            raise TrainingError(f"Loss weights {self.weights}", "They must be numbers, none below 0, nor all 0", "")
        if self.batch < 1:
            raise TrainingError(f"Batches of {self.batch} frames", "There must be one or more", "")
        if self.learning_rate is not None and not 0 < self.learning_rate < math.inf:
            raise TrainingError(f"A learning rate of {self.learning_rate:g}", "It must be a number above 0", "")
        if self.averaging is not None and not 0 < self.averaging < 1:
            raise TrainingError(f"A decay of {self.averaging:g}", "It must be between 0 and 1", "")
        if not 0 <= self.seed <= LARGEST_SEED:
            raise TrainingError(f"The seed {self.seed}", f"It must be from 0 to {LARGEST_SEED}", "")
        for word, known in ((self.split, DIVISIONS), (self.energies, ENERGIES), (self.dtype, PRECISIONS)):
            if word not in known:
                raise TrainingError(f"There is no setting {word!r}", "", f"Give {' or '.join(known)}")

    def describe(self, *, tuning: bool) -> Mapping[str, Any]:
        """Return the settings as JSON has them, with the values that None stands for."""
        chosen = {name: value for name, value in asdict(self).items() if value is not None}
        return {**(TUNING if tuning else FROM_NOTHING), **chosen}


@dataclass(frozen=True, slots=True)
class Description:
    """What only the user knows of a model.

    Attributes
    ----------
    level_of_theory : str
        What the labels were computed with.
    dispersion : bool or None
        Whether dispersion is in the labels, so that none may be added; None for as in the foundation model.
    """

    level_of_theory: str = NOT_STATED
    dispersion: bool | None = None


def make_arguments(settings: Mapping[str, Any]) -> argparse.Namespace:
    """Return what mace's own command line makes of settings that `Recipe.describe` returned."""
    from mace.tools import build_default_arg_parser

    energy, forces, stress = settings["weights"]
    words = {
        "--name": "model",
        "--loss": "universal",
        "--energy_weight": energy,
        "--forces_weight": forces,
        "--stress_weight": stress,
        "--lr": settings["learning_rate"],
        "--ema_decay": settings["averaging"],
        "--batch_size": settings["batch"],
        "--scheduler_patience": 5,
    }
    arguments: argparse.Namespace = build_default_arg_parser().parse_args(
        [str(word) for pair in words.items() for word in pair]
    )
    return arguments
