"""Commands that write files, and what they leave in their folder."""

from __future__ import annotations

import gc
import io
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase.build import bulk
from ase.io import write
from metals import make_metals
from tiny_models import pack_variant
from vasp_files import write_output

from mace_mof_calc import structures
from mace_mof_calc.cli import main as mace_mof
from mace_mof_calc.frames import read_frames, write_frames
from mace_mof_calc.models.own import MODELS_VARIABLE
from mace_mof_calc.training.curate import curation
from mace_mof_calc.training.curate.pores import PoreDiameters
from phonopy_mlp.cli.main import main as phonopy_mlp
from phonopy_mlp.output import ELASTIC_FILE
from phonopy_mlp.report.folder import SHOWN, is_shown, read_records
from phonopy_mlp.unfinished import UNFINISHED_FOLDER

from .calculators import register
from .conftest import FACTOR

_STAMPS = (
    rb"(?m)^ *(seconds|started|date|time): .*\n",
    rb"(?m)^ *- (phonopy-mlp|run)\n",
)
"""What differs between two runs that are the same."""


@dataclass(frozen=True)
class Command:
    """A command line, the same with other settings, and what must be in its folder before."""

    program: Callable[[list[str]], int]
    words: str
    more: str
    prepare: Callable[[Path], None]

    @property
    def replaces(self) -> bool:
        """Whether it takes the place of what it made before with other settings; else it refuses to."""
        return self.program is phonopy_mlp

    def run(self, *, otherwise: bool = False) -> tuple[int, str]:
        """Run it in this folder, and return its exit status and what it and its children said of errors."""
        said = io.StringIO()
        with _no_file_behind_the_terminal() as errors, redirect_stdout(io.StringIO()), redirect_stderr(said):
            status = self.program([*self.words.split(), *(self.more.split() if otherwise else ())])
        gc.collect()  # what holds a lock may be in a circle
        return status, said.getvalue() + "".join(errors)


@contextmanager
def _no_file_behind_the_terminal() -> Iterator[list[str]]:
    """Lead what children print to a pipe, since pytest has files there, which a limit on files is one on, too."""
    said: list[str] = []
    kept, (there, here), nothing = (os.dup(1), os.dup(2)), os.pipe(), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(here, 2)
    try:
        yield said
    finally:
        for k, descriptor in enumerate(kept, start=1):
            os.dup2(descriptor, k)
        for descriptor in (*kept, here, nothing):
            os.close(descriptor)
        # Without waiting: a process that is kept for others may have its end still.
        os.set_blocking(there, False)
        with suppress(BlockingIOError):
            said.append(os.read(there, 1 << 16).decode())
        os.close(there)


def read_files(folder: Path) -> dict[str, bytes]:
    """Return the files in a folder by name, without what differs between two runs that are the same."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found[str(path.relative_to(folder))] = _plain(path)
    return found


def _plain(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix == ".pt":
        # Of a training that goes on, which reads it.
        return b""
    if path.suffix == ".domain":
        # Its header has what it tells in another order each time.
        return bytes(sorted(content))
    if path.name == "curves.csv":
        return b"\n".join(line.rpartition(b",")[0] for line in content.splitlines())
    if path.name == "losses.csv":
        return b"\n".join(b",".join(line.split(b",")[:3]) for line in content.splitlines())
    for stamp in _STAMPS:
        content = re.sub(stamp, b"", content)
    if path.name == "result.json":
        # torch does not sum in the same order each time.
        content = re.sub(rb"\d+\.\d{9,}(e-\d+)?", lambda number: b"%.9g" % float(number[0]), content)
    return content


def is_resumable(name: str) -> bool:
    """Return whether a file is of what a command goes on from."""
    return (
        name.startswith(f"{UNFINISHED_FOLDER}/")
        or ".parts/" in name
        or name.endswith((".pt", "curves.csv", "losses.csv"))
    )


def is_whole(name: str, content: bytes, *states: Mapping[str, bytes]) -> bool:
    """Return whether a file is one of those of the states, or a record on the way from the one to the other."""
    if any(content == state.get(name) for state in states):
        return True
    if name == ELASTIC_FILE:
        # What one way has found is written before the other begins.
        found, *known = (yaml.safe_load(each) for each in (content, *(s[name] for s in states if name in s)))
        return any(found.items() <= each.items() for each in known)
    if not name.startswith("phonopy_mlp"):
        return False
    record, *known = (
        yaml.safe_load(each)["phonopy_mlp"] for each in (content, *(s[name] for s in states if name in s))
    )
    return any(record.keys() == each.keys() for each in known) and all(
        any(entry == each["steps"].get(step) for each in known) for step, entry in record["steps"].items()
    )


def assert_not_mixed(folder: Path, *states: Mapping[str, bytes]) -> None:
    """Check that a report on a folder shows of each step the files of one run."""
    if not list(folder.glob("phonopy_mlp*.yaml")):
        return
    found = read_files(folder)
    for name, record in read_records(folder).items():
        for step, entry in record["steps"].items():
            files = [file for file in entry.get("files", ()) if step.startswith(SHOWN) and is_shown(file)]
            assert any(all(is_whole(file, found[file], state) for file in files) for state in states), f"{name}: {step}"


def assert_same(found: Mapping[str, bytes], expected: Mapping[str, bytes]) -> None:
    """Check that a command left the same files as another time."""
    assert found.keys() == expected.keys(), found.keys() ^ expected.keys()
    different = [name for name in expected if found[name] != expected[name]]
    assert not different, different


def get_ready(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Make the calculators known to this process and to its children, and what is slow quick."""
    folder.mkdir()
    register(folder, patch)
    patch.setenv(MODELS_VARIABLE, "models")
    patch.setattr(curation, "compute_pore_diameters", lambda atoms: PoreDiameters(9.0, 11.0))


def put_copper(folder: Path) -> None:
    write(folder / "Cu.cif", bulk("Cu"))


def put_runs(folder: Path) -> None:
    for name, calculator in (("a", "hunt"), ("b", "hunt-stiff")):
        (folder / name).mkdir()
        put_copper(folder / name)
        os.chdir(folder / name)
        assert Command(phonopy_mlp, f"run --mlp {calculator} Cu.cif --dim 2 2 2 -q", "", put_copper).run()[0] == 0
    os.chdir(folder)


def put_run(folder: Path) -> None:
    put_copper(folder)
    assert Command(phonopy_mlp, "eos --mlp hunt Cu.cif", "", put_copper).run()[0] == 0


def put_frames(folder: Path) -> None:
    put_copper(folder)
    frames = make_metals("Cu2", 8, seed=1, a=2.85)
    for atoms in frames:
        del atoms.info["source"]
    write_frames(folder / "in.extxyz", frames)


def put_minimum(folder: Path) -> None:
    write(folder / "in.extxyz", bulk("Cu") * (2, 2, 2))


def put_outputs(folder: Path) -> None:
    put_frames(folder)
    _prepare("label in.extxyz --write-vasp vasp")
    for atoms in read_frames(folder / "in.extxyz"):
        write_output(folder / "vasp", atoms, np.full_like(atoms.positions, 0.5))


def put_hessians(folder: Path) -> None:
    write(folder / "copper.extxyz", bulk("Cu") * (2, 2, 2))
    _prepare("label copper.extxyz -o minima.extxyz --calculator hunt --hessians")
    frames = make_metals("Cu2", 8, seed=1, a=2.85)
    for atoms in frames:
        atoms.info["source"] = "copper"
    write_frames(folder / "in.extxyz", frames)


def put_foundation(folder: Path) -> None:
    put_frames(folder)
    _prepare(f"finetune in.extxyz --name copper --epochs 1 --foundation none {_NETWORK}")
    write_frames(folder / "alloy.extxyz", make_metals("CuAu", 8, seed=2))


def _prepare(words: str) -> None:
    assert mace_mof(words.split()) == 0
    gc.collect()  # as above


def put_frameworks(folder: Path) -> None:
    (folder / "cifs").mkdir()
    for k in range(2):
        atoms = structures.load("MOF-74")
        atoms.set_cell(atoms.cell.array * (1 + 0.05 * k), scale_atoms=True)
        atoms.write(folder / "cifs" / f"{k}.cif")
    pack_variant(folder, 1)


def put_model(folder: Path) -> None:
    pack_variant(folder, 1)
    atoms = bulk("ZnO", "rocksalt", a=4.4)
    frames = [atoms.copy() for _ in range(12)]
    for seed, each in enumerate(frames):
        each.rattle(0.05, seed=seed)
    write_frames(folder / "in.extxyz", frames)


def _step(words: str, more: str = "--relax-fmax 2e-6") -> Command:
    name, *rest = words.split()
    return Command(phonopy_mlp, " ".join([name, "--mlp hunt Cu.cif", *rest]), more, put_copper)


def _mace(words: str, more: str, prepare: Callable[[Path], None] = put_frames) -> Command:
    return Command(mace_mof, words, more, prepare)


_NETWORK = "--channels 4 --cutoff 3.6 --correlation 2 --layers 1 --batch 4 --device cpu"

_PHONONS = "--dim 2 2 2 --mesh 3 3 3"

COMMANDS: Mapping[str, Command] = {
    "run": _step(f"run --relax {_PHONONS} -t --dos --figure phonons.png"),
    "relax": _step("relax"),
    "stabilise": _step("stabilise --dim 2 2 2"),
    "eos": _step("eos", "--eos-strain 0.015"),
    "elastic": _step("elastic --relax"),
    "elastic-both": _step("elastic --relax --elastic-method both --dim 3 3 3", "--elastic-strain 0.002"),
    "qha": _step(f"qha {_PHONONS} --qha-volumes 5 --tmax 50", "--qha-strain 0.016"),
    "qha-lengths": _step(f"qha --relax {_PHONONS} --tmax 50 --qha-lengths -0.01 -0.005 0 0.005 0.01 0.015 0.02"),
    "qha-tensor": _step(f"qha --relax {_PHONONS} --tmax 50 --qha-tensor"),
    "qha-stabilised": _step(f"qha {_PHONONS} --qha-volumes 5 --tmax 50 --qha-imaginary stabilise", "--qha-seed 1"),
    "sscha": _step(f"sscha {_PHONONS} --sscha 2 --sscha-snapshots 4", "--sscha-seed 1"),
    "committee": _step(f"committee {_PHONONS} --committee hunt-stiff", "--tmax 100"),
    "committee-qha": _step(
        f"committee {_PHONONS} --committee hunt-stiff --committee-eos --committee-qha", "--tmax 100"
    ),
    "compare": Command(phonopy_mlp, "compare a b --mesh 3 3 3 --figure c.png --band auto", "--cut 2", put_runs),
    "report": Command(phonopy_mlp, "report", "", put_run),
    "curate": _mace(
        "curate cifs -o out.extxyz --model variant-1.json --count 1 --device cpu", "--pore 3", put_frameworks
    ),
    "sample": _mace("sample in.extxyz -o out.extxyz --calculator hunt --kind strain,rattle --as-given", "--seed 2"),
    "sample-moving": _mace(
        "sample in.extxyz -o out.extxyz --calculator hunt --kind relax,phonons,md --steps 10 --every 5 --md-frames 1 "
        "--phonon-frames 2 --temperature 300",
        "--seed 2",
        put_minimum,
    ),
    "label": _mace("label in.extxyz -o out.extxyz --calculator hunt", "--hessians"),
    "hessians": _mace("label in.extxyz -o out.extxyz --calculator hunt --hessians", "--workers 2"),
    "write-vasp": _mace("label in.extxyz --write-vasp vasp", "--kpoints-density 5"),
    "read-vasp": _mace("label in.extxyz --read-vasp vasp -o out.extxyz", "--kpoints-density 3", put_outputs),
    "finetune": _mace(f"finetune in.extxyz --name own --epochs 1 --foundation none {_NETWORK}", "--seed 2"),
    "finetune-replaying": _mace(
        "finetune alloy.extxyz --name own --foundation copper --replay in.extxyz --epochs 1 --batch 4 --replace "
        "--energies fit --device cpu",
        "--seed 2",
        put_foundation,
    ),
    "finetune-hessians": _mace(
        f"finetune in.extxyz --hessians minima.extxyz --name own --steps 3 --foundation none {_NETWORK}",
        "--seed 2",
        put_hessians,
    ),
    "evaluate": _mace("evaluate in.extxyz -o out --model hunt", "--dtype float32"),
    "evaluate-phonons": _mace(
        "evaluate in.extxyz -o out --model hunt --phonons Cu.cif --reference hunt-stiff --dim 2 2 2 --mesh 3 3 3",
        "--dtype float32",
        put_frames,
    ),
    "domain": _mace("domain in.extxyz --model variant-1.json -o own.domain", "", put_model),
}

CHOSEN = tuple(COMMANDS) if FACTOR > 1 else ("run", "relax", "eos", "compare", "curate", "sample", "evaluate")
"""Commands for what takes long."""
