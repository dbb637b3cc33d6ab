"""The labels of `mini` as one file.

``python training/mini/archive.py FOLDER`` unpacks it, and ``... FOLDER --store`` packs what lies there:

* ``minima.extxyz``: primitive cells at GFN1-xTB's minimum, labelled;
* ``hessians.extxyz``: the cells that were labelled, at the minimum, with their Hessians;
* ``labelled.extxyz``: frames to train on, and free atoms;
* ``unseen.extxyz``: frames that training never sees.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from archives import Archive

LABELS = Archive(
    Path(__file__).with_name("labels.tar.xz"),
    ("hessians.extxyz", "labelled.extxyz", "unseen.extxyz", "minima.extxyz"),
)


def main() -> None:
    """Unpack or pack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--store", action="store_true", help="pack what lies there")
    options = parser.parse_args()
    (LABELS.store if options.store else LABELS.restore)(options.folder)


if __name__ == "__main__":
    main()
