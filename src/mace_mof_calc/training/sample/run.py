"""From crystals to frames, part by part, so that a kill loses little."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator, CalculatorError

from ...errors import TrainingError
from ..hessians import (
    HESSIAN,
    carry_rows,
    choose_atoms,
    complete,
    compute_rows,
    find_operations,
    get_hessian,
    read_rows,
)
from ..job import Job, Part
from ..manifest import Dropped, Manifest
from ..modes import Modes, make_modes
from ..progress import Track, silently
from .crystals import check_elements, make_frame, make_stream
from .descriptors import choose_frames
from .dynamics import run_segment
from .phonons import make_soft, make_thermal
from .physical import describe_failure, keep_physical
from .rattle import make_rattled
from .relaxation import relax
from .scaled import make_alike, make_equal, make_mixed
from .settings import KINDS, Settings
from .strain import make_strained

if TYPE_CHECKING:
    from ...models.loading import LoadedModel

Array = np.ndarray[Any, Any]

#: Steps of molecular dynamics that a kill loses at most, unless candidates are further apart.
SEGMENT = 200

#: Root mean square of displacements where none is chosen, Angstrom.
SIZES = (0.02, 0.05, 0.1)

_NO_MINIMUM = "no minimum"


def sample_crystals(
    crystals: Sequence[Atoms],
    calculator: BaseCalculator,
    settings: Settings,
    job: Job,
    *,
    model: LoadedModel | None = None,
    track: Track = silently,
) -> Manifest:
    """Make frames of crystals, and write them.

    Parameters
    ----------
    crystals : sequence of Atoms
        Of `prepare_crystals`.
    calculator : BaseCalculator
        Whose forces move the atoms, and tell what is unphysical.
    settings : Settings
    job : Job
        Where frames go.
    model : LoadedModel, optional
        By whose descriptors frames of relaxations and of molecular dynamics are chosen; by distances of atoms without
        one.
    track : Track, optional
        Shows progress.

    Returns
    -------
    Manifest
        With all that was dropped, and why.

    Raises
    ------
    TrainingError
        The calculator has no stress and needs it, it or the model does not know an element, or no frame is left.
    """
    if "stress" not in calculator.implemented_properties and ("md" in settings.kinds or _relaxes(settings)):
        raise TrainingError(
            f"{type(calculator).__name__} has no stress", "Relaxations and molecular dynamics need it", "Use another"
        )
    described = calculator.describe() if hasattr(calculator, "describe") else {}
    if "elements" in described:
        check_elements(crystals, described["name"], described["elements"])
    if model is not None:
        check_elements(crystals, f"The descriptor model {model.name}", model.elements)
    parts: list[Part] = []
    for crystal in track(crystals, "Crystals"):
        parts += _Sampling(crystal, str(crystal.info["source"]), calculator, settings, job, model, track).make_parts()
    return job.finish(parts)


def _relaxes(settings: Settings) -> bool:
    return "relax" in settings.kinds or not settings.as_given


@dataclass(frozen=True, slots=True, eq=False)
class _Sampling:
    """All that is made of one crystal."""

    crystal: Atoms
    source: str
    calculator: BaseCalculator
    settings: Settings
    job: Job
    model: LoadedModel | None
    track: Track

    def make_parts(self) -> list[Part]:
        if not _relaxes(self.settings):
            return self._make_others(self.crystal)
        trajectory = self._do("relaxation", self._relax)
        parts = [Part((), trajectory.dropped)]
        if "relax" in self.settings.kinds:
            parts.append(self._do("relax", self._thin, trajectory))
        if self.settings.as_given:
            return parts + self._make_others(self.crystal)
        if any(_leads_nowhere(each) for each in trajectory.dropped):
            return parts
        return parts + self._make_others(trajectory.frames[-1])

    def _make_others(self, start: Atoms) -> list[Part]:
        makers: dict[str, Callable[[Atoms], list[Part]]] = {
            "strain": self._make_strained,
            "md": self._run_dynamics,
            "rattle": self._make_rattled,
            "phonons": self._make_thermal,
            "soft": self._make_soft,
            "equal": self._make_equal,
            "mixed": self._make_mixed,
        }
        chosen = [makers[kind] for kind in KINDS if kind in self.settings.kinds and kind in makers]
        return [part for make in chosen for part in make(start)]

    def _do(self, name: str, work: Callable[..., Part], *arguments: Any) -> Part:
        return self.job.do(f"{self.source}/{name}", partial(work, *arguments))

    def _stream(self, *names: str | int) -> np.random.Generator:
        return make_stream(self.settings.seed, self.source, *names)

    def _keep(self, frames: Sequence[Atoms], start: Atoms) -> Part:
        return keep_physical(frames, start, self.calculator, self.settings.limits)

    def _relax(self) -> Part:
        own = self.settings
        found = relax(self.crystal, self.calculator, own.limits, fmax=own.fmax, steps=own.relax_steps)
        frames = [make_frame(atoms, self.source, "relax", str(step)) for step, atoms in enumerate(found.frames)]
        faults = zip(frames, found.faults, strict=True)
        dropped = [Dropped(frame.info["name"], fault) for frame, fault in faults if fault is not None]
        if found.failure is not None:
            dropped.append(Dropped(f"{self.source}-minimum", f"{_NO_MINIMUM}: {found.failure}"))
        elif not found.converged:
            reason = f"not relaxed: {found.largest:.3f} eV/Angstrom after {own.relax_steps} steps, gone on from there"
            dropped.append(Dropped(f"{self.source}-minimum", reason))
        return Part([frame for frame, fault in zip(frames, found.faults, strict=True) if fault is None], dropped)

    def _thin(self, trajectory: Part) -> Part:
        ends = (0, len(trajectory.frames) - 1)
        return Part(choose_frames(trajectory.frames, self.settings.relax_frames, self.model, ends))

    def _make_strained(self, start: Atoms) -> list[Part]:
        return [self._do("strain", self._strain, start)]

    def _strain(self, start: Atoms) -> Part:
        own = self.settings
        frames = make_strained(start, own.strains, own.strain_frames)
        if not own.relax_strained:
            return self._keep(frames, start)
        kept, dropped = [], []
        for frame in frames:
            found = relax(frame, self.calculator, own.limits, fmax=own.fmax, steps=own.relax_steps, cell=False)
            if found.failure is None:
                kept.append(found.frames[-1])
            else:
                dropped.append(Dropped(frame.info["name"], found.failure))
        return Part(kept, dropped)

    def _run_dynamics(self, start: Atoms) -> list[Part]:
        return [self._do(f"md/{each:g}K", self._choose_from_run, start, each) for each in self.settings.temperatures]

    def _choose_from_run(self, start: Atoms, temperature: float) -> Part:
        own = self.settings
        candidates: list[Atoms] = []
        dropped: list[Dropped] = []
        here = make_frame(start, self.source, "md", "start")
        count, each = own.steps // own.every, max(1, SEGMENT // own.every)
        for begin in self.track(range(0, count, each), f"{self.source} at {temperature:g} K"):
            steps = own.every * min(each, count - begin)
            part = self._do(f"md/{temperature:g}K/{begin}", self._run_segment, here, start, temperature, begin, steps)
            for number, frame in enumerate(part.frames, begin + 1):
                candidates.append(make_frame(frame, self.source, "md", f"{temperature:g}K-{number * own.every}"))
            dropped += part.dropped
            if dropped:
                break
            here = part.frames[-1]
        return Part(choose_frames(candidates, own.md_frames, self.model), dropped)

    def _run_segment(self, here: Atoms, start: Atoms, temperature: float, begin: int, steps: int) -> Part:
        own = self.settings
        segment = run_segment(
            here,
            start,
            self.calculator,
            own.limits,
            self._stream("md", f"{temperature:g}", begin),
            temperature=temperature,
            pressure=own.pressure,
            timestep=own.timestep,
            steps=steps,
            every=own.every,
        )
        ended = f"{self.source}-md-{temperature:g}K-ended"
        return Part(segment.frames, [] if segment.fault is None else [Dropped(ended, segment.fault)])

    def _make_rattled(self, start: Atoms) -> list[Part]:
        own = self.settings
        frames = make_rattled(start, own.rattle_frames, own.rattle_sigma, own.rattle_strain, self._stream("rattle"))
        return [self._do("rattle", self._keep, frames, start)]

    def _make_thermal(self, start: Atoms) -> list[Part]:
        if self.settings.sizes:
            return [self._do("phonons", self._draw_scaled, start, "phonons", make_alike, self.settings.phonon_frames)]
        return [self._do(f"phonons/{each:g}K", self._draw_thermal, start, each) for each in self.settings.temperatures]

    def _draw_thermal(self, start: Atoms, temperature: float) -> Part:
        own = self.settings
        stream = self._stream("phonons", f"{temperature:g}")
        draw = partial(make_thermal, start, count=own.phonon_frames, temperature=temperature, random=stream)
        return self._keep_displaced(start, "phonons", partial(draw, quantum=own.quantum))

    def _make_equal(self, start: Atoms) -> list[Part]:
        return [self._do("equal", self._draw_scaled, start, "equal", make_equal, self.settings.equal_frames)]

    def _make_mixed(self, start: Atoms) -> list[Part]:
        draw = partial(make_mixed, limit=self.settings.mixed_limit)
        return [self._do("mixed", self._draw_scaled, start, "mixed", draw, self.settings.mixed_frames)]

    def _draw_scaled(self, start: Atoms, kind: str, draw: Callable[..., list[Atoms]], count: int) -> Part:
        sizes = self.settings.sizes or SIZES
        return self._keep_displaced(
            start, kind, partial(draw, start, count=count, sizes=sizes, random=self._stream(kind))
        )

    def _make_soft(self, start: Atoms) -> list[Part]:
        return [self._do(f"soft/{each:g}K", self._displace_soft, start, each) for each in self.settings.temperatures]

    def _displace_soft(self, start: Atoms, temperature: float) -> Part:
        displace = partial(make_soft, start, count=self.settings.soft_modes, temperature=temperature)
        return self._keep_displaced(start, "soft", displace)

    def _keep_displaced(self, start: Atoms, kind: str, displace: Callable[..., list[Atoms]]) -> Part:
        try:
            modes = self._compute_modes(start)
        except CalculatorError as error:
            return Part((), [Dropped(f"{self.source}-{kind}", describe_failure(error))])
        return self._keep(displace(modes=modes), start)

    def _compute_modes(self, start: Atoms) -> Modes:
        if HESSIAN in start.arrays:
            hessian = get_hessian(start)
        else:
            operations = find_operations(start)
            rows = {
                index: read_rows(self._do(f"hessian/{index}", self._compute_rows, start, index).frames[0])
                for index in self.track(choose_atoms(operations), f"{self.source}, Hessian")
            }
            hessian = complete(rows, operations)
        return make_modes(hessian, start.get_masses(), self.settings.min_frequency)

    def _compute_rows(self, start: Atoms, index: int) -> Part:
        frame = make_frame(start, self.source, "hessian", str(index))
        return Part([carry_rows(frame, compute_rows(start, index, self.calculator))])


def _leads_nowhere(dropped: Dropped) -> bool:
    return dropped.reason.startswith(_NO_MINIMUM)
