"""A calculator that fails in every way that labelling must survive, as ``info["mood"]`` of a frame says."""

import errno
import os
import signal
import time
from pathlib import Path

import numpy as np
from ase.calculators.calculator import CalculationFailed
from ase.calculators.emt import EMT

LOG = "LABELLERS_LOG"
"""Variable that names a folder, in which each calculator leaves a file, by its process."""

SECONDS = "LABELLERS_SECONDS"
"""Variable with the time that each frame takes."""


HANG = "LABELLERS_HANG"
"""Variable with the time that a frame hangs."""


class Moody(EMT):
    about = ""

    def describe(self):
        return {"level_of_theory": self.about}

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        time.sleep(float(os.environ.get(SECONDS, "0")))
        mood = atoms.info.get("mood")
        if mood == "raise":
            raise CalculationFailed("SCF not converged")
        if mood == "hang":
            time.sleep(float(os.environ.get(HANG, "3600")))
        if mood == "die":
            os._exit(7)
        if mood == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if mood == "disk":
            raise OSError(errno.ENOSPC, "No space left on device")
        if mood == "exit":
            raise SystemExit(3)
        if mood == "nan":
            self.results["forces"] = np.full((len(atoms), 3), np.nan)


def moody(*, device, dtype):
    if folder := os.environ.get(LOG):
        made = Path(folder) / str(os.getpid())
        made.write_text(made.read_text() + "again" if made.exists() else os.environ.get("OMP_NUM_THREADS", ""))
    calculator = Moody()
    calculator.about = f"moody on {device} in {dtype}"
    return calculator


def broken(*, device, dtype):
    raise RuntimeError("no licence")


def deadly(*, device, dtype):
    os._exit(9)


def register(folder):
    """Make a distribution in a folder that names these calculators."""
    info = folder / "labellers-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: labellers\nVersion: 1.0\n")
    lines = [f"{name} = labellers:{name}\n" for name in ("moody", "broken", "deadly")]
    (info / "entry_points.txt").write_text("[phonopy_mlp.calculators]\n" + "".join(lines))
