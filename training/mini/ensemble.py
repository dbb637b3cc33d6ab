"""Train the small ensemble of which ``benchmarks/spread.py`` shows what the spread of a committee is worth.

``python training/mini/ensemble.py --work DIR`` trains models of a quarter of the width of `mini` on MOF-5 alone, each
from its own random weights and with its own draws, and packs them in ``benchmarks/ensemble``. Stop it at any time and
start it again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from build import MEMORY, ROOT, restart_with

MEMBERS = 4
STEPS = 900
TARGET = ROOT / "benchmarks" / "ensemble"


if __name__ == "__mp_main__":
    from mace_mof_calc.backend import import_mace

    import_mace()


def main() -> None:
    """Train and pack those that are not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "mini", help="folder for labels and checkpoints")
    parser.add_argument("--workers", type=int, default=1, choices=(1, 2), help="processes that train (default 1)")
    options = parser.parse_args()
    restart_with(MEMORY, 1)

    from mace_mof_calc.backend import import_mace

    import_mace()
    import archive
    from pack import pack
    from train import Stage, train

    options.work.mkdir(parents=True, exist_ok=True)
    archive.restore(options.work)
    for k in range(1, MEMBERS + 1):
        stage = Stage(f"member-{k}", {"MOF-5": 1.0}, STEPS, rate=(1e-2, 1e-5), tighten=(0.0, 0.5), seed=k, channels=16)
        finished = train(stage, None, options.work, options.work / "ensemble.log", options.workers)
        print(f"packed: {pack(finished, [], ['MOF-5'], TARGET / stage.name)}", flush=True)


if __name__ == "__main__":
    main()
