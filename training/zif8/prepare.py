"""What fine-tuning on ZIF-8 begins with: crystals, and labelled frames of the frameworks that `mini` knows.

``python training/zif8/prepare.py FOLDER`` writes ``zif-8.extxyz``; ``salem-2.extxyz``, the same net of the same family
with another linker, which is held out; ``replay.extxyz``, a sample of what `mini` was trained on; and ``old.extxyz``,
frames of the same frameworks that it never saw. The same files come out each time, and those that are there already are
left alone.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import spglib
from ase import Atoms
from ase.io import iread
from ase.spacegroup import crystal

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "training" / "mini"))

import archive  # noqa: E402  (of training/mini)

from mace_mof_calc.frames import Labels, attach_labels, write_frames  # noqa: E402  (after it)

FRAMEWORKS = ("MOF-5", "UiO-66", "MOF-74", "MIL-53")
REPLAYED, KEPT_BACK = 25, 10
"""Frames of each framework."""

# Park et al., Proc. Natl. Acad. Sci. 103, 10186 (2006), rounded; the group's hydrogen atoms in the ordered setting.
SPACE_GROUP, EDGE = 217, 17.0
IMIDAZOLATE = [
    ("Zn", (0.0, 0.5, 0.25)),
    ("N", (0.086, 0.537, 0.178)),
    ("C", (0.132, 0.492, 0.132)),
    ("C", (0.103, 0.615, 0.160)),
    ("H", (0.073, 0.663, 0.188)),
]
METHYL = [("C", (0.127, 0.405, 0.127)), ("H", (0.083, 0.387, 0.083)), ("H", (0.184, 0.379, 0.110))]

# SALEM-2 (Karagiaridi et al., J. Am. Chem. Soc. 134, 18790 (2012)) has a hydrogen atom in place of the methyl group; in
# the direction of its carbon atom, at 1.08 A.
HYDROGEN = [("H", (0.1284, 0.4287, 0.1284))]


def make_crystal(name: str, sites: Sequence[tuple[str, tuple[float, float, float]]]) -> Atoms:
    """Return a primitive cell: 138 atoms of ZIF-8, 102 of SALEM-2."""
    conventional = crystal(
        [symbol for symbol, _ in sites],
        [place for _, place in sites],
        spacegroup=SPACE_GROUP,
        cellpar=(EDGE, EDGE, EDGE, 90, 90, 90),
    )
    cell = (conventional.cell.array, conventional.get_scaled_positions(), conventional.numbers)
    lattice, scaled, numbers = spglib.standardize_cell(cell, to_primitive=True, no_idealize=True, symprec=1e-3)
    atoms = Atoms(numbers, cell=lattice, scaled_positions=scaled, pbc=True)
    atoms.info["source"] = name
    return atoms


def read_known(work: Path, purpose: str, count: int) -> Iterator[Atoms]:
    """Yield so many frames of each framework, spread over all kinds, with their labels under mace's names."""
    for framework in FRAMEWORKS:
        paths = sorted((work / "labels" / framework).glob(f"{purpose}-*.extxyz"))
        for k in np.linspace(0, len(paths) - 1, count).round().astype(int):
            (frame,) = iread(paths[k])
            labels = Labels(frame.get_potential_energy(), frame.get_forces(), frame.get_stress())
            bare = Atoms(frame.numbers, positions=frame.positions, cell=frame.cell, pbc=True)
            bare.info |= {
                "source": framework,
                "kind": "-".join(paths[k].stem.split("-")[1:-1]),
                "name": f"{framework} {paths[k].stem}",
            }
            yield attach_labels(bare, labels)


def main() -> None:
    """Write what is not there yet."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        archive.restore(Path(work) / "mini")
        contents = {
            "zif-8": [make_crystal("ZIF-8", IMIDAZOLATE + METHYL)],
            "salem-2": [make_crystal("SALEM-2", IMIDAZOLATE + HYDROGEN)],
            "replay": list(read_known(Path(work) / "mini", "train", REPLAYED)),
            "old": list(read_known(Path(work) / "mini", "test", KEPT_BACK)),
        }
    for name, frames in contents.items():
        if not (folder / f"{name}.extxyz").exists():
            write_frames(folder / f"{name}.extxyz", frames)


if __name__ == "__main__":
    main()
