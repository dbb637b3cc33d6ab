"""What can be chosen about sampling, and what is taken where nothing is chosen."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...errors import TrainingError

#: Kinds of frames, in the order in which they are made and written.
KINDS = ("relax", "strain", "md", "rattle", "phonons", "soft", "equal", "mixed")


@dataclass(frozen=True, slots=True)
class Limits:
    """Beyond which a frame is unphysical.

    Attributes
    ----------
    contact : float
        Smallest distance of two atoms, as part of the sum of their covalent radii (Cordero et al., Dalton Trans. 2008,
        2832).
    stretch : float
        Largest factor by which the cell is longer, along any direction, than that of the crystal, or shorter.
    force : float
        Largest force on an atom, eV/Angstrom.

    Raises
    ------
    TrainingError
        Nothing, or everything, would be unphysical.
    """

    contact: float = 0.6
    stretch: float = 1.5
    force: float = 30.0

    def __post_init__(self) -> None:
        if not (0.0 <= self.contact < 1.0 and self.stretch > 1.0 and self.force > 0.0):
            raise TrainingError(
                f"Limits are contact {self.contact}, stretch {self.stretch} and force {self.force}",
                "The first lies between 0 and 1, the second above 1, the third above 0",
            )


@dataclass(frozen=True, slots=True)
class Settings:
    """How crystals are sampled.

    Molecular dynamics, six isotropic strains over +-10 % and relaxations of at most ten frames are what MACE-MP-MOF0
    was made from (npj Comput. Mater. 11, 125 (2025)); the paper leaves the other numbers open.

    Attributes
    ----------
    kinds : tuple of str
        Some of `KINDS`.
    seed : int
        Of everything random. Each crystal and kind has a stream of its own.
    as_given : bool
        Start from the crystals as they are, rather than from where they relax to.
    temperatures : tuple of float
        Of molecular dynamics and of modes, K.
    pressure : float
        Of molecular dynamics, GPa.
    timestep : float
        fs.
    steps, every, md_frames : int
        Steps of molecular dynamics at each temperature, after how many there is a candidate, and how many candidates
        are kept.
    strains : tuple of float
        Smallest and largest strain of the cell lengths: a linear strain, as in the equations of state of atomate2,
        whose six frames the paper's are; the volume changes three times as much.
    strain_frames : int
        How many strains, equally spaced, both ends among them.
    relax_strained : bool
        Relax the positions in each strained cell.
    fmax : float
        Where relaxations end, eV/Angstrom; the default is the paper's.
    relax_steps, relax_frames : int
        Largest number of steps, and of frames that are kept.
    rattle_frames : int
    rattle_sigma : float
        Standard deviation of each coordinate, Angstrom.
    rattle_strain : float
        Standard deviation of each component of the strain.
    phonon_frames : int
        At each temperature.
    quantum : bool
        Occupy modes as quantum oscillators, with zero-point motion, rather than as classical ones.
    min_frequency : float
        Softer modes, and imaginary ones, are displaced as if they had this frequency, THz.
    soft_modes : int
        How many of the lowest modes are displaced one by one.
    equal_frames, mixed_frames : int
        With equal forces along all modes, and along the soft modes in random combinations.
    mixed_limit : float
        Below which modes are soft, THz.
    sizes : tuple of float
        Root mean square of the components of displacements, Angstrom, in turn: those of ``equal`` and ``mixed``, 0.02,
        0.05 and 0.1 where there are none; those of ``phonons`` in place of the temperature's, where there are some.
    limits : Limits
        What is unphysical.

    Raises
    ------
    TrainingError
        A value makes no sense; the message has it.
    """

    kinds: tuple[str, ...] = ("relax", "strain", "md")
    seed: int = 1
    as_given: bool = False
    temperatures: tuple[float, ...] = (300.0,)
    pressure: float = 0.0
    timestep: float = 0.5
    steps: int = 10000
    every: int = 50
    md_frames: int = 20
    strains: tuple[float, float] = (-0.1, 0.1)
    strain_frames: int = 6
    relax_strained: bool = False
    fmax: float = 0.02
    relax_steps: int = 500
    relax_frames: int = 10
    rattle_frames: int = 10
    rattle_sigma: float = 0.05
    rattle_strain: float = 0.02
    phonon_frames: int = 10
    quantum: bool = False
    min_frequency: float = 0.5
    soft_modes: int = 6
    equal_frames: int = 10
    mixed_frames: int = 10
    mixed_limit: float = 6.0
    sizes: tuple[float, ...] = ()
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if unknown := [kind for kind in self.kinds if kind not in KINDS]:
            raise TrainingError(f"There is no kind {unknown[0]!r}", f"Kinds are {', '.join(KINDS)}", "Choose of these")
        if not self.kinds:
            raise TrainingError("No kind of frames was chosen", f"Kinds are {', '.join(KINDS)}", "Choose of these")
        for name, smallest in _SMALLEST.items():
            values = getattr(self, name)
            for value in values if isinstance(values, tuple) else (values,):
                if not smallest <= value < math.inf:
                    raise TrainingError(f"{name} is {value}", f"It must be finite, and {smallest} or more")
        if self.every > self.steps:
            raise TrainingError(f"A candidate every {self.every} steps of {self.steps} is none")
        if self.strains[0] >= self.strains[1]:
            raise TrainingError(f"The smallest strain is {self.strains[0]}, the largest {self.strains[1]}")


_SMALLEST = {
    "seed": 0,
    "temperatures": 1.0,
    "pressure": -100.0,
    "timestep": 0.01,
    "steps": 1,
    "every": 1,
    "md_frames": 1,
    "strains": -0.5,
    "strain_frames": 1,
    "fmax": 1e-6,
    "relax_steps": 1,
    "relax_frames": 2,
    "rattle_frames": 1,
    "rattle_sigma": 0.0,
    "rattle_strain": 0.0,
    "phonon_frames": 1,
    "min_frequency": 0.01,
    "soft_modes": 1,
    "equal_frames": 1,
    "mixed_frames": 1,
    "mixed_limit": 0.0,
    "sizes": 1e-6,
}
