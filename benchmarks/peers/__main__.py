"""Phonons with stock mace, with janus-core and with this package, side by side: ``make bench-peers``.

Each program runs as a command of its own, on the same structure file and the same model file, with the same number of
threads; time and memory are measured from outside. Stop it at any time and start it again: a finished run is not
repeated, unless something that it depends on has changed. At the end the force constants are compared, and the exit
status is 1 where they differ by more than finite differences explain.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import phonopy
from ase.io import write
from symmetrix_quoted import quote_symmetrix

from . import agreement, identity, report
from .agreement import Agreement
from .measure import CommandFailedError, measure, thread_variables
from .runs import Run, find_run, force_constants_seconds, run_folder, save_run, start_run
from .tasks import DISTANCE, PEERS, RATTLE, TASKS, Task, command, result_files

LONG = 300.0
"""A run of stock mace or of janus that takes longer (s) is done once."""

ROOT = Path(__file__).resolve().parents[2]
_OURS_ONLY = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


@dataclass(frozen=True, slots=True)
class Bench:
    """What the command line asks for.

    Attributes
    ----------
    tasks : mapping
        The tasks to do, by key.
    peers : tuple of str
        The programs, of `PEERS`.
    model : Path
        The model file.
    work : Path
        Folder for all files.
    janus : Path
        The program ``janus``.
    threads, rounds : int
        Threads of every program, and runs of each.
    """

    tasks: Mapping[str, Task]
    peers: tuple[str, ...]
    model: Path
    work: Path
    janus: Path
    threads: int
    rounds: int

    def run_all(self) -> list[Run]:
        """Return the runs of all tasks, doing those that are not there yet; the programs take turns."""
        dependence = {peer: self._dependence(peer) for peer in self.peers}
        done: dict[tuple[str, str], list[Run]] = {}
        for key, task in self.tasks.items():
            structure = write_structure(key, task, self.work)
            for number in range(self.rounds):
                for peer in (each for each in self.peers if each in task.peers):
                    earlier = done.setdefault((key, peer), [])
                    if not is_enough(peer, earlier):
                        earlier.append(self._run(key, peer, number, structure, dependence[peer]))
        return [run for runs in done.values() for run in runs]

    def _run(self, key: str, peer: str, number: int, structure: Path, dependence: Mapping[str, object]) -> Run:
        """Return a run, done before or now."""
        folder = run_folder(self.work, key, peer, number)
        model, cell = (os.path.relpath(path, folder) for path in (self.model, structure))
        words = command(peer, self.tasks[key], model, cell, self.janus)
        own = {
            **dependence,
            "structure": identity.digest(structure),
            "command": [Path(word).name if Path(word).is_absolute() else word for word in words],
        }
        run = find_run(folder, own)
        if run is None:
            load = start_run(folder)
            usage = measure(words, folder, self._environment(peer))
            run = Run(key, peer, number, own, load, usage)
            save_run(folder, run)
        print(f"{key} {peer} {number}: {run.usage.seconds:.1f} s, {run.usage.peak_bytes / 1e9:.2f} GB", flush=True)
        return run

    def _dependence(self, peer: str) -> dict[str, object]:
        """Return what all runs of a program depend on."""
        python = self.janus.with_name("python") if peer == "janus" else Path(sys.executable)
        return {
            "model": identity.digest(self.model),
            "threads": self.threads,
            "processor": identity.processor(),
            "versions": identity.versions(peer, python),
        }

    def _environment(self, peer: str) -> dict[str, str]:
        outside = _OURS_ONLY if peer == "janus" else ()
        kept = {name: value for name, value in os.environ.items() if name not in outside}
        # A compiled kernel is kept from run to run; the first run in a new folder compiles.
        own = {"MPLBACKEND": "agg", "NUMBA_CACHE_DIR": str(self.work / "numba")}
        path = {} if peer == "janus" else python_path()
        return {**kept, **own, **path, **thread_variables(self.threads)}


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is missing, compare, write ``peers.json`` and ``peers.csv``, and return the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("peers: ended; start it again to go on"))
    try:
        bench = parse(argv)
        runs = bench.run_all()
    except CommandFailedError as error:
        sys.exit(f"peers: {error}")
    agreements = compare_all(runs, bench.work)
    alone = {
        key: [force_constants_seconds(run_folder(bench.work, key, "ours", run.number)) for run in own]
        for (key, peer), own in report.group(runs).items()
        if peer == "ours"
    }
    ratios = report.compute_ratios(runs, base_task="mof5", grown_task="mof5-3x3x3")
    record = {
        "processor": identity.processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "model": bench.model.stem,
        "threads": bench.threads,
        "displacement": DISTANCE,
        "rattle": RATTLE,
        "force_constants_tolerance": agreement.FORCE_CONSTANTS_TOLERANCE,
        "squares_tolerance": agreement.SQUARES_TOLERANCE,
        "ratios": ratios,
        "agreement": [{"task": task, "peer": peer, **asdict(each)} for (task, peer), each in agreements.items()],
        "our_force_constants_seconds": alone,
        "runs": runs,
    }
    report.write_json(bench.work / "peers.json", record)
    report.write_csv(bench.work / "peers.csv", runs)
    print(report.format_table(runs, ratios, {key: task.title for key, task in bench.tasks.items()}))
    for key, seconds in alone.items():
        print(f"{bench.tasks[key].title}, ours, force constants alone: {median(seconds):.3g} s")
    print(quote_symmetrix())
    return report_agreement(agreements)


def parse(argv: Sequence[str] | None) -> Bench:
    """Read the command line, make the folder, and write the model into it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=TASKS, action="append", help="do only this task; may be repeated")
    parser.add_argument("--peers", type=_peers, default=PEERS, help="programs, with commas between (default: all)")
    parser.add_argument(
        "--model",
        default="production",
        help="production (random weights, the default), a registered name such as mini, or a .model file",
    )
    parser.add_argument("--threads", type=int, default=1, help="threads of every program (default 1)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each; long ones of peers once (default 3)")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "peers", help="folder for all files")
    parser.add_argument(
        "--janus", type=Path, default=ROOT / "build" / "peers-env" / "bin" / "janus", help="the program janus"
    )
    found = parser.parse_args(argv)
    if "janus" in found.peers and not found.janus.is_file():
        parser.error(f"there is no {found.janus}: 'make bench-peers' installs it; or leave it out with --peers")
    if found.threads < 1 or found.rounds < 1:
        parser.error("--threads and --rounds are at least 1")
    work = found.work.absolute() / Path(found.model).stem
    work.mkdir(parents=True, exist_ok=True)
    return Bench(
        tasks={key: TASKS[key] for key in found.only or TASKS},
        peers=found.peers,
        model=write_model(found.model, work),
        work=work,
        janus=found.janus.absolute(),
        threads=found.threads,
        rounds=found.rounds,
    )


def _peers(text: str) -> tuple[str, ...]:
    words = text.split(",")
    unknown = sorted(set(words) - set(PEERS))
    if unknown:
        raise argparse.ArgumentTypeError(f"no program {', '.join(unknown)}; there are {', '.join(PEERS)}")
    return tuple(peer for peer in PEERS if peer in words)


def python_path() -> dict[str, str]:
    """Return the environment variable by which a child finds this package and whatever else this process finds."""
    before = os.environ.get("PYTHONPATH", "")
    return {"PYTHONPATH": os.pathsep.join(part for part in (str(ROOT / "benchmarks"), before) if part)}


def write_model(model: str, work: Path) -> Path:
    """Return the file of a model; that of a name is written once."""
    if Path(model).suffix == ".model":
        return Path(model).absolute()
    path = work / f"{model}.model"
    if not path.exists():
        partial = path.with_suffix(".partial")
        command = [sys.executable, "-W", "ignore", "-m", "peers.model", model, str(partial)]
        subprocess.run(command, check=True, env={**os.environ, **python_path()})
        partial.replace(path)
    return path


def write_structure(key: str, task: Task, work: Path) -> Path:
    """Write the unit cell of a task, with all digits, in a format that every program reads."""
    path = work / f"{key}.POSCAR"
    write(path, task.structure(), format="vasp", direct=True)
    return path


def is_enough(peer: str, runs: Sequence[Run]) -> bool:
    """Return whether a program needs no further run: another program than ours, once, where it takes long."""
    return peer != "ours" and bool(runs) and runs[0].usage.seconds > LONG


def compare_all(runs: Sequence[Run], work: Path) -> dict[tuple[str, str], Agreement]:
    """Compare, for each task, the first run of every other program with the first of ours."""
    groups, agreements = report.group(runs), {}
    for task, peer in groups:
        if peer != "ours" and (task, "ours") in groups:
            reference, other = (_read(run_folder(work, task, each, 0), each) for each in ("ours", peer))
            agreements[task, peer] = agreement.compare(reference, other)
    return agreements


def report_agreement(agreements: Mapping[tuple[str, str], Agreement]) -> int:
    """Print the differences from ours, and return 1 where they are too large."""
    for (task, peer), found in agreements.items():
        print(
            f"{task}, {peer} against ours: force constants differ by {found.force_constants:.1e} of the largest "
            f"({found.largest_force_constant:.3g} eV/A^2), squares of frequencies by {found.squares:.1e} of the "
            f"largest, frequencies above {agreement.SOFT} THz by up to {found.frequencies:.1e} THz "
            f"(lowest {found.lowest_frequency:.3g} THz)"
        )
    wrong = [f"{peer} on {task}" for (task, peer), found in agreements.items() if not found.holds]
    if wrong:
        print(
            f"FAILED: {', '.join(wrong)} and ours do not agree: force constants may differ by "
            f"{agreement.FORCE_CONSTANTS_TOLERANCE:g} of the largest, squares of frequencies by "
            f"{agreement.SQUARES_TOLERANCE:g}",
            file=sys.stderr,
        )
    return 1 if wrong else 0


def _read(folder: Path, peer: str) -> phonopy.Phonopy:
    cells, force_constants = result_files(peer)
    return agreement.read_phonon(folder / cells, folder / force_constants)


if __name__ == "__main__":
    sys.exit(main())
