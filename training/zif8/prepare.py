"""What `mini` learns ZIF-8 from, besides what the commands make of it.

``python training/zif8/prepare.py FOLDER crystals`` writes the crystals, ``zif-8.extxyz`` and ``salem-2.extxyz``, the
same net of the same family with another linker, which is held out; of the frameworks that `mini` knows and that have
nitrogen, ``replay.extxyz`` and ``replay-hessians.extxyz``, a sample of what it was trained on, and of all of them
``old.extxyz``, frames that it never saw. ``... FOLDER minima`` writes where the runs in ``reference`` have relaxed
the crystals to, ``zif-8-minimum.extxyz`` and ``salem-2-minimum.extxyz``. ``... FOLDER labels`` unpacks all that
GFN1-xTB has labelled, and ``... FOLDER store`` packs it. The same files come out each time, and those that are there
already are left alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from ase import Atoms

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "training" / "mini"))

import archive  # noqa: E402  (of training/mini, as the next two)
from archives import Archive  # noqa: E402
from crystals import FRAMEWORKS, SALEM2, ZIF8, Framework  # noqa: E402

from mace_mof_calc.frames import read_frames, write_frames  # noqa: E402  (after it)

REPLAYED, KEPT_BACK = 109, 10
"""Frames of each framework."""


CRYSTALS = {"zif-8": ZIF8, "salem-2": SALEM2}

FRAMES = ("zif-8-hessian", "learnt-labelled", "unseen-labelled", "held-out-labelled")
LABELS = Archive(
    Path(__file__).with_name("labels.tar.xz"),
    (
        *(f"{name}.extxyz" for name in (*(f"{name}-minimum" for name in CRYSTALS), *FRAMES)),
        *(f"reference/{name}/{file}" for name in CRYSTALS for file in ("phonopy_mlp.yaml", "phonopy_params.yaml")),
    ),
)


def make_crystal(framework: Framework) -> Atoms:
    """Return a primitive cell that knows its name."""
    atoms = framework.primitive()
    atoms.info["source"] = framework.name
    return atoms


def read_minimum(framework: Framework, run: Path) -> Atoms:
    """Return where a run has relaxed a crystal to."""
    (atoms,) = read_frames(run / "relaxed.cif")
    atoms.info = {"source": framework.name, "kind": "minimum", "name": f"{framework.name} minimum"}
    return atoms


WITH_NITROGEN = tuple(name for name, framework in FRAMEWORKS.items() if "N" in framework.primitive().symbols)


def read_known(name: str, count: int, frameworks: Iterable[str]) -> Iterator[Atoms]:
    """Yield so many frames of each framework in a file of the archive, spread over all kinds."""
    frames = archive.LABELS.read(name)
    for framework in frameworks:
        own = [atoms for atoms in frames if atoms.info["source"] == framework]
        for k in np.linspace(0, len(own) - 1, count).round().astype(int):
            yield own[k]


def list_contents(folder: Path, what: str) -> dict[str, Callable[[], Iterable[Atoms]]]:
    """Return what makes the frames of each file."""
    if what == "minima":
        runs = {name: folder / "reference" / name for name in CRYSTALS}
        return {f"{name}-minimum": lambda name=name: [read_minimum(CRYSTALS[name], runs[name])] for name in CRYSTALS}
    return {
        **{name: lambda framework=framework: [make_crystal(framework)] for name, framework in CRYSTALS.items()},
        "replay": lambda: read_known("labelled", REPLAYED, WITH_NITROGEN),
        "replay-hessians": lambda: read_known("hessians", 1, WITH_NITROGEN),
        "old": lambda: read_known("unseen", KEPT_BACK, FRAMEWORKS),
    }


def main() -> None:
    """Write what is not there yet."""
    folder, what = Path(sys.argv[1]), sys.argv[2]
    folder.mkdir(parents=True, exist_ok=True)
    if what in ("labels", "store"):
        (LABELS.restore if what == "labels" else LABELS.store)(folder)
        return
    for name, make in list_contents(folder, what).items():
        if not (folder / f"{name}.extxyz").exists():
            write_frames(folder / f"{name}.extxyz", list(make()))


if __name__ == "__main__":
    main()
