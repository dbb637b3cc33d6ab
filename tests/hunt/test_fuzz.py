"""Every file that is read, damaged and forged: an answer, or an error that says what, why and what to do; no code run.

The configuration of Parsl is Python, which is run by design, and is not among them.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import sqlite3
import traceback
import warnings
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import bulk
from ase.db import connect
from ase.io import write
from tiny_models import FOUNDATION, pack_variant
from vasp_files import write_vasprun

from mace_mof_calc.cli import main as mace_mof
from mace_mof_calc.domain.reference import DomainReference, find_reference, write_reference
from mace_mof_calc.errors import MaceMofError, StructureError, UnsafeModelError
from mace_mof_calc.frames import Labels, attach_labels, get_labels, read_frames, write_frames
from mace_mof_calc.models.cards import read_card
from mace_mof_calc.models.loading import load
from mace_mof_calc.models.packed import read_packed
from mace_mof_calc.models.pickled import read_model_file
from mace_mof_calc.models.weights import resolve
from mace_mof_calc.training.checkpoints import load_checkpoint, save_checkpoint
from mace_mof_calc.training.curate.reading import read_cif
from mace_mof_calc.training.finetune.run import read_result
from mace_mof_calc.training.hessians import attach_hessian, get_hessian
from mace_mof_calc.training.job import Job, Part
from mace_mof_calc.training.label.vasp_inputs import plan_inputs
from mace_mof_calc.training.label.vasp_outputs import read_labels
from mace_mof_calc.training.manifest import Dropped
from phonopy_mlp.cli.checks import check_options
from phonopy_mlp.cli.config import expand
from phonopy_mlp.cli.main import main as phonopy_mlp
from phonopy_mlp.cli.options import parse
from phonopy_mlp.errors import PhonopyMlpError
from phonopy_mlp.files import file_digest
from phonopy_mlp.provenance import read_record
from phonopy_mlp.report import page
from phonopy_mlp.screen.agreement import agree
from phonopy_mlp.screen.entries import Entry, find_structures
from phonopy_mlp.screen.execution import read_outcome, write_outcome
from phonopy_mlp.screen.store import Result, Store, make_row
from phonopy_mlp.screen.task import Outcome, Task
from phonopy_mlp.structures import read_structure
from phonopy_mlp.unfinished import Section

from .conftest import FACTOR, SEED
from .mutations import damage, hostile_pickles, hostile_yaml, limited, overlapping, replace_leaves, ruins, zipped

OWN = (PhonopyMlpError, MaceMofError)
CASES = 4 * FACTOR
"""Of chance, for each file and each kind of it."""

Read = Callable[[Path], Any]


class Hunt:
    """Tries one reader with many contents of a file, and counts them."""

    def __init__(self, file: Path, read: Callable[[], Any], subject: str, tally: Any, marker: Path) -> None:
        self.file, self.read, self.subject, self.tally, self.marker = file, read, subject, tally, marker
        self.content = file.read_bytes()
        self.failures: list[str] = []
        assert self.read() != 2, "what is mutated cannot be read"
        self.random = np.random.default_rng([SEED, zlib.crc32(subject.encode())])

    def chance(self, cases: int = CASES) -> Hunt:
        """Damage bytes."""
        return self.contents(damage(self.content, self.random, cases))

    def ruins(self) -> Hunt:
        """Put something else in the file's place: other content, a folder, a link to itself, nothing."""
        self.contents(ruins(self.content).items())
        for name, put in (("a folder", Path.mkdir), ("a loop", lambda path: path.symlink_to(path)), ("none", _nothing)):
            self.file.unlink()
            put(self.file)
            self._try(name)
            if name == "a folder":
                self.file.rmdir()
            else:
                self.file.unlink(missing_ok=True)
            self.file.write_bytes(self.content)
        return self

    def leaves(self, decode: Callable[[bytes], Any], encode: Callable[[Any], bytes], cases: int = 3 * CASES) -> Hunt:
        """Put other values in the places of those of nested data."""
        for name, document in replace_leaves(decode(self.content), self.random, cases):
            try:
                content = encode(document)
            except UnicodeEncodeError:  # no file can hold that
                continue
            self.contents([(name, content)])
        return self

    def contents(self, contents: Iterable[tuple[str, bytes]]) -> Hunt:
        """Give the file these contents, one after the other."""
        for name, content in contents:
            self.file.write_bytes(content)
            self._try(name)
        self.file.write_bytes(self.content)
        return self

    def _try(self, name: str) -> None:
        self.tally("fuzz", self.subject)
        try:
            with warnings.catch_warnings(), limited():
                warnings.simplefilter("ignore")
                self.read()
        except OWN as error:
            if not error.what or not (error.why or error.remedy) or "\n" in str(error):
                self.failures.append(f"{name}: a poor message: {error!r}")
        except BaseException as error:
            own = [each for each in traceback.extract_tb(error.__traceback__) if "/src/" in each.filename]
            where = f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "?"
            self.failures.append(f"{name}: {where}: {type(error).__name__}: {str(error)[:200]}")
        if self.marker.exists():
            self.failures.append(f"{name}: code was run")
            self.marker.unlink()

    def done(self) -> None:
        """Fail where any case did."""
        assert not self.failures, "\n".join([f"{len(self.failures)} of {self.subject}", *self.failures])


def _nothing(path: Path) -> None:
    """Leave no file."""


@pytest.fixture
def marker(tmp_path):
    """What code that is run would leave behind."""
    return tmp_path / "it_ran"


@pytest.fixture
def hunt(tally, marker):
    """Return what hunts in a file."""

    def begin(file: Path, read: Callable[[], Any], subject: str) -> Hunt:
        return Hunt(file, read, subject, tally, marker)

    return begin


@pytest.fixture
def registered(calculators, monkeypatch, tmp_path):
    """Make the calculators known, and work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def finished(calculators, tmp_path_factory):
    """Folder of a run with all of its steps."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.chdir(folder)
        write("Cu.cif", bulk("Cu"))
        sampling = "--relax --dim 2 2 2 --mesh 3 3 3 --tmax 300 --tstep 100 -q"
        lengths = "--qha-lengths -0.01 -0.005 0 0.005 0.01 0.015 0.02"
        assert phonopy_mlp(f"qha --mlp emt Cu.cif {sampling} {lengths}".split()) == 0
        Path("phonopy_mlp-qha.yaml").rename("phonopy_mlp-lengths.yaml")
        assert phonopy_mlp(f"qha --mlp emt Cu.cif {sampling} --qha-tensor".split()) == 0
        steps = "--eos --elastic --qha --sscha 2 --sscha-snapshots 2 --sscha-temperatures 100 --committee emt"
        line = f"run --mlp emt Cu.cif {sampling} --stabilise -t {steps} --committee-qha"
        assert phonopy_mlp(line.split()) == 0
    return folder


def run(command: Callable[[list[str]], int], words: str, capsys: pytest.CaptureFixture[str]) -> int:
    """Run a command line, which answers, or says in one line why not, and return its exit status."""
    capsys.readouterr()
    try:
        status = command(words.split())
    except SystemExit as ended:  # of argparse
        status = int(ended.code or 0)
    said = capsys.readouterr().err
    assert status in (0, 1, 2), status
    if status == 2:
        lines = [line for line in said.splitlines() if line.strip()]
        assert " error: " in lines[-1], said
        assert sum(" error: " in line for line in lines) == 1, said
    assert "Traceback" not in said, said
    return status


def from_yaml(content: bytes) -> Any:
    return yaml.safe_load(content)


def to_yaml(document: Any) -> bytes:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True).encode()


def to_json(document: Any) -> bytes:
    return json.dumps(document).encode()


# phonopy-mlp: options and records


OPTIONS = """
structure: Cu.cif
mlp: emt
relax: true
symmetrise: false
relax_fmax: 1e-5
dim: [2, 2, 2]
mesh: 11 11 11
t: true
tmax: 300
fix_atoms: [1, 2-3]
"""


def test_options_from_a_file_are_read_or_refused(hunt, registered, marker, capsys):
    file = Path("options.yaml")
    file.write_text(OPTIONS)

    def read() -> None:
        capsys.readouterr()
        try:
            check_options(parse(expand([f"--mlp-config={file}"], "run"), "phonopy-mlp run"))
        except SystemExit:
            assert "error: " in capsys.readouterr().err

    hunting = hunt(file, read, "options").chance().ruins().leaves(from_yaml, to_yaml)
    hunting.contents([("a huge supercell", OPTIONS.replace("[2, 2, 2]", f"[2, 2, {'9' * 400}]").encode())])
    hunting.contents(hostile_yaml(marker).items()).done()


def test_records_are_read_or_refused(hunt, registered, finished, marker):
    file = Path("phonopy_mlp.yaml")
    shutil.copy(finished / file, file)

    def read() -> None:
        read_record(file)
        expand([f"--mlp-config={file}"], "run")

    hunting = hunt(file, read, "record").chance().ruins().leaves(from_yaml, to_yaml)
    hunting.contents(hostile_yaml(marker).items()).done()


def test_configurations_of_phonopy_are_read_or_refused(hunt, registered, capsys):
    write("Cu.cif", bulk("Cu"))
    file = Path("phonopy.conf")
    file.write_text("DIM = 2 2 2\nMESH = 3 3 3\nBAND = 0 0 0 1/2 0 0\nTMAX = 300\nDOS = .TRUE.\n")
    words = f"run --mlp emt Cu.cif --config {file} --dry-run -q"

    def read() -> int:
        status = phonopy_mlp(words.split())
        assert "Traceback" not in capsys.readouterr().err
        return status  # phonopy says why in its own words

    hunting = hunt(file, read, "phonopy.conf").chance().ruins()
    hunting.contents([("a number that is none", b"DIM = 2 2 2\nBAND = 1/0 0 0 1 1 1\n")]).done()


# phonopy-mlp: what runs leave

REPORTED = (
    "thermal_properties.yaml",
    "eos.yaml",
    "elastic.yaml",
    "qha_volumes.yaml",
    "qha_lattices.yaml",
    "expansion_tensor.yaml",
    "sscha.yaml",
    "committee.yaml",
)
TABLES = (
    "helmholtz-volume.dat",
    "volume-temperature.dat",
    "linear_thermal_expansion.dat",
    "Cp-temperature.dat",
    "committee_dos.dat",
    "committee_thermal.dat",
    "committee_expansion.dat",
    "axial_thermal_expansion.dat",
    "lattice_parameters-temperature.dat",
)


@pytest.fixture
def reporting(finished, registered, monkeypatch):
    """Folder of the finished run, and what makes its report without drawing figures and packing scripts."""
    for name in ("plotly_script", "viewer_module"):
        monkeypatch.setattr(page, name, lambda: "")
    monkeypatch.setattr(page, "_write_figures", lambda figures, folder: [figure.layout for figure in figures])
    folder = Path("run")
    shutil.copytree(finished, folder)
    # Without the digests by which files that were changed are left out: they may be forged, too.
    for record in folder.glob("phonopy_mlp*.yaml"):
        content = from_yaml(record.read_bytes())
        for step in content["phonopy_mlp"]["steps"].values():
            step.pop("files", None)
        record.write_bytes(to_yaml(content))
    return folder


@pytest.mark.parametrize("name", [*REPORTED, *TABLES])
def test_reports_are_made_of_any_files_or_refused(name, hunt, reporting, marker, capsys):
    for file in ("phonopy_params.yaml", "force_constants.hdf5"):
        (reporting / file).unlink()  # of which more below
    hunting = hunt(reporting / name, lambda: run(phonopy_mlp, f"report {reporting}", capsys), f"report {name}")
    hunting.chance()
    if name.endswith(".yaml"):
        hunting.leaves(from_yaml, to_yaml, CASES)
        huge = re.sub(rb"\d+\.\d+", b"9" * 400, hunting.content)
        hunting.contents([("huge numbers", huge)])
    if name == REPORTED[0]:  # all YAML is read in one place, and so are all tables
        hunting.contents(hostile_yaml(marker).items())
    if name == TABLES[0]:
        hunting.ruins()
    hunting.done()


def test_reports_are_made_of_any_record_or_refused(hunt, reporting, marker, capsys):
    for file in ("phonopy_params.yaml", "force_constants.hdf5"):
        (reporting / file).unlink()
    file = reporting / "phonopy_mlp.yaml"
    hunting = hunt(file, lambda: run(phonopy_mlp, f"report {reporting}", capsys), "report phonopy_mlp.yaml")
    hunting.chance().ruins().leaves(from_yaml, to_yaml).contents(hostile_yaml(marker).items()).done()


PHONOPY_FILES = ("phonopy_params.yaml", "force_constants.hdf5")


@pytest.mark.parametrize("name", PHONOPY_FILES)
def test_reports_are_made_of_any_force_constants_or_refused(name, hunt, reporting, marker, capsys):
    hunting = hunt(reporting / name, lambda: run(phonopy_mlp, f"report {reporting}", capsys), f"report {name}")
    hunting.chance(CASES // 2).ruins()
    if name.endswith(".hdf5"):
        hunting.contents(other_arrays().items())
    if name.endswith(".yaml"):
        hunting.leaves(from_yaml, to_yaml, CASES // 2).contents(hostile_yaml(marker).items())
    hunting.done()


@pytest.mark.parametrize("name", PHONOPY_FILES)
def test_any_force_constants_are_compared_or_refused(name, hunt, finished, registered, marker, capsys):
    folder = Path("run")
    folder.mkdir()
    for each in PHONOPY_FILES:
        shutil.copy(finished / each, folder)
    words = f"compare {finished} {folder} --mesh 3 3 3"
    hunting = hunt(folder / name, lambda: run(phonopy_mlp, words, capsys), f"compare {name}").chance().ruins()
    if name.endswith(".hdf5"):
        hunting.contents(other_arrays().items())
    if name.endswith(".yaml"):
        hunting.leaves(from_yaml, to_yaml, CASES).contents(hostile_yaml(marker).items())
    hunting.done()


def test_any_forces_are_taken_or_refused(hunt, finished, registered, marker, capsys, monkeypatch):
    monkeypatch.setattr("phonopy_mlp.cli.run.run_phonopy", lambda *_, **__: 0)
    file = Path("phonopy_params.yaml")
    shutil.copy(finished / file, file)
    hunting = hunt(file, lambda: run(phonopy_mlp, f"run {file} --mesh 3 3 3 -q", capsys), "run with forces")
    hunting.chance().ruins().leaves(from_yaml, to_yaml, CASES).contents(hostile_yaml(marker).items()).done()


def other_arrays() -> dict[str, bytes]:
    """Return HDF5 files that hold something else than force constants of eight atoms."""
    found = {}
    arrays = {"nothing": None, "a number": 1.0, "a vector": np.zeros(3), "a matrix": np.zeros((1, 8))}
    arrays |= {"other atoms": np.zeros((8, 8, 3, 3)), "nan": np.full((1, 8, 3, 3), np.nan), "words": np.array([b"a"])}
    arrays |= {"four directions": np.zeros((1, 8, 4, 4)), "complex": np.zeros((1, 8, 3, 3), dtype=complex)}
    for name, array in arrays.items():
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            if array is not None:
                file["force_constants"] = array
        found[name] = buffer.getvalue()
    return found


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz"])
def test_compressed_yaml_runs_no_code_either(suffix, hunt, finished, registered, marker, capsys):
    import bz2
    import gzip
    import lzma

    compress = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[suffix]
    file = Path(f"disp.yaml.{suffix}")
    file.write_bytes(compress((finished / "phonopy_params.yaml").read_bytes()))
    hunting = hunt(file, lambda: run(phonopy_mlp, f"run --mlp emt {file} --dry-run -q", capsys), f"yaml.{suffix}")
    hostile = ((name, compress(content)) for name, content in hostile_yaml(marker).items())
    hunting.chance().ruins().contents(hostile).done()


def test_any_structures_with_labels_are_compared_or_refused(hunt, registered, capsys):
    frames = [attach_labels(bulk("Cu"), Labels(-1.0, np.zeros((1, 3)), np.zeros(6))) for _ in range(2)]
    file = Path("labels.extxyz")
    text = '1\nLattice="3 0 0 0 3 0 0 0 3" Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.5 pbc="T T T"\n'
    file.write_text((text + "Cu 0 0 0 0.1 0.2 0.3\n") * len(frames))
    shutil.copy(file, "others.extxyz")
    words = f"compare {file} others.extxyz"
    hunt(file, lambda: run(phonopy_mlp, words, capsys), "compare extxyz").chance(3 * CASES).ruins().done()


def test_any_densities_of_states_are_compared_or_refused(hunt, registered, capsys):
    file = Path("total_dos.dat")
    frequencies = np.linspace(0, 10, 201)
    density = 3 * np.exp(-((frequencies - 5) ** 2)) / np.sqrt(np.pi)
    np.savetxt(file, np.transpose([frequencies, np.where(np.abs(frequencies - 5) < 3, density, 0)]))
    shutil.copy(file, "other.dat")
    words = f"compare {file} other.dat"
    hunt(file, lambda: run(phonopy_mlp, words, capsys), "total_dos.dat").chance(3 * CASES).ruins().done()


STRUCTURES = {"a.cif": "cif", "POSCAR": "vasp", "a.extxyz": "extxyz", "a.xyz": "extxyz", "a.json": "json"}


@pytest.mark.parametrize("name", STRUCTURES)
def test_any_structure_is_read_or_refused(name, hunt, registered):
    file = Path(name)
    write(file, bulk("NaCl", "rocksalt", a=5.6), format=STRUCTURES[name])
    hunting = hunt(file, lambda: read_structure(file), f"structure {name}").chance(3 * CASES).ruins()
    if name == "a.json":
        hunting.leaves(json.loads, to_json)
    hunting.done()


def test_names_of_files_that_cannot_be_are_refused(registered, tally, capsys):
    write("Cu.cif", bulk("Cu"))
    for name in ("x" * 5000 + ".cif", "a\0b.cif", "Cu.cif/x.cif"):
        tally("fuzz", "names of files")
        for words in (["run", "--mlp", "emt", name], ["compare", name, name], ["report", name]):
            assert phonopy_mlp(words) == 2
            assert "phonopy-mlp: error: " in capsys.readouterr().err
        assert mace_mof(["info", name]) == 2
        assert "mace-mof: error: " in capsys.readouterr().err


# phonopy-mlp: parts of runs that are not finished


def test_parts_that_cannot_be_read_are_done_again(hunt, registered):
    section = Section(Path("section"))
    section.keep("part", energy=-1.5, forces=np.arange(6.0).reshape(2, 3))
    file = Path("section/part.npz")

    def read() -> None:
        found = section.get("part")
        assert found is None or all(isinstance(each, np.ndarray) for each in found.values())

    with np.load(file) as data:
        arrays = dict(data)
    hunting = hunt(file, read, "unfinished").chance(10 * CASES).ruins()
    bare = {}
    for name, content in {"object": [{}], "one array": arrays["forces"]}.items():
        np.save("bare.npy", np.array(content), allow_pickle=True)
        bare[name] = Path("bare.npy").read_bytes()
    header = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little")
    shape = b"{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000,), }"
    long = header + shape.ljust(117) + b"\n"
    hunting.contents(
        [
            *bare.items(),
            *((f"zipped {name}", zipped({"energy.npy": content})) for name, content in bare.items()),
            ("long", long),
            ("zipped long", zipped({"energy.npy": long})),
            ("no array", zipped({"energy.npy": b"no"})),
            ("a bomb", zipped({"energy.npy": header + shape.replace(b"10000000000000", b"500000000").ljust(117) + b"\n"
                               + bytes(2**26)}, compressed=True)),
            ("compressed otherwise", self_contradicting_zip(zipped({"energy.npy": bare["one array"]}))),
        ]
    ).done()  # fmt: skip


def self_contradicting_zip(content: bytes) -> bytes:
    """Return an archive whose members claim to be compressed in ways that they are not."""
    return content.replace(b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x08\x00")


# phonopy-mlp: screenings


QUESTIONS = {"relax": {"calculator": {"name": "emt"}, "before": [], "words": ["relax"]}}


@pytest.fixture
def screening(registered):
    """A screening's database and folder, as it is left."""
    write("Cu.cif", bulk("Cu"))
    record = {"steps": {"relax": {"energy": -1.0, "health": {"precision": {"sound": True}}}}}
    task = Task("Cu", "relax", "Cu.cif", "r/tasks/Cu/relax", ("relax",), "sha256:1", "record.yaml", "relaxed.cif")
    relaxed = Path(task.folder) / task.result
    relaxed.parent.mkdir(parents=True)
    shutil.copy("Cu.cif", relaxed)
    files = {task.result: file_digest(relaxed), "a": "sha256:2"}
    outcome = Outcome("done", "sha256:1", "", 1.5, str(relaxed), {"volume_change": 0.1}, record, files)
    write_outcome(task, outcome)
    store = Store("r.db")
    agree(store, Path("r"), QUESTIONS)
    store.write(Result(Entry("Cu", Path("Cu.cif"), "sha256:0"), {"relax": outcome}), finished=True)
    store.write(Result(Entry("Al", Path("Al.cif"), "sha256:0"), {"relax": Outcome("failed", "", "why")}), finished=True)
    return task


def test_outcomes_of_tasks_are_read_or_the_tasks_done_again(hunt, screening):
    store = Store("s.db")

    def read() -> None:
        outcome = read_outcome(screening)
        if outcome is not None:
            result = Result(Entry("Cu", Path("Cu.cif"), "sha256:0"), {"relax": outcome})
            make_row(result, finished=True)
            store.write(result, finished=True)

    hunt(screening.path, read, "task.json").chance().ruins().leaves(json.loads, to_json, 6 * CASES).done()


def test_any_state_of_a_screening_is_told_or_refused(hunt, screening, capsys):
    file = Path("r/status.json")
    status = {"process": 1, "started": "2026-01-01T00:00:00+00:00", "updated": "2026-01-01T00:00:00+00:00"}
    status |= {"total": 3, "done": 1, "failed": 1, "lost": 0, "ended": False, "seconds_left": 200}
    status |= {"running": ["Cu relax"], "handed_over": ["Al relax"]}
    file.write_text(json.dumps(status))
    hunting = hunt(file, lambda: run(phonopy_mlp, "screen --db r.db --status", capsys), "status.json")
    hunting.chance().ruins().leaves(json.loads, to_json, 6 * CASES).done()


def test_any_database_is_read_or_refused(hunt, screening, capsys):
    file = Path("r.db")

    def read() -> None:
        run(phonopy_mlp, "screen --db r.db --report", capsys)
        agree(Store("r.db"), Path("r"), QUESTIONS)

    hunt(file, read, "database").chance(3 * CASES).ruins().done()


def _of_columns(database: Path) -> dict[str, list[str]]:
    with sqlite3.connect(database) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: [row[1] for row in connection.execute(f"PRAGMA table_info({name})")] for name in tables}


def test_a_database_with_anything_in_its_columns_is_read_or_refused(hunt, screening, capsys):
    file = Path("r.db")
    places = [(table, column) for table, columns in _of_columns(file).items() for column in columns]
    values = (None, -1, 1.5, "word", b"\x00", '{"a": [1]}', "[]", "9" * 400)

    def read() -> None:
        run(phonopy_mlp, "screen --db r.db --report", capsys)
        agree(Store("r.db"), Path("r"), QUESTIONS)
        Store("r.db").write(
            Result(Entry("Cu", Path("Cu.cif"), "sha256:0"), {"relax": Outcome("failed", "")}), finished=True
        )
        find_structures([file], Path("screen"))

    hunting = hunt(file, read, "columns of a database")
    content = file.read_bytes()
    for k in hunting.random.permutation(len(places) * len(values))[: 2 * CASES]:
        (table, column), value = places[k // len(values)], values[k % len(values)]
        file.write_bytes(content)
        with sqlite3.connect(file) as connection:
            try:
                connection.execute(f"UPDATE {table} SET {column} = ?", (value,))
            except sqlite3.Error:  # no database can hold that
                continue
        connection.close()
        hunting.contents([(f"{table}.{column} = {value!r:.20}", file.read_bytes())])
    hunting.done()


AGREEMENTS = (1, [], {}, {"identity": "a"}, {"identity": [], "steps": {}}, {"identity": "a", "steps": {"relax": 1}})


def test_a_database_with_any_metadata_is_read_or_refused(hunt, screening, capsys):
    contents = {}
    for agreement in AGREEMENTS:
        shutil.copy("r.db", "other.db")
        connect("other.db").metadata = {"phonopy_mlp_screen": agreement}
        contents[str(agreement)] = Path("other.db").read_bytes()
    hunting = hunt(Path("r.db"), lambda: agree(Store("r.db"), Path("r"), QUESTIONS), "metadata of a database")
    hunting.contents(contents.items()).done()


def test_any_agreement_of_a_screening_is_read_or_refused(hunt, screening):
    read = lambda: agree(Store("r.db"), Path("r"), QUESTIONS)  # noqa: E731
    hunt(Path("r/screening.json"), read, "screening.json").chance().ruins().leaves(
        json.loads, to_json, 6 * CASES
    ).done()


def test_any_source_of_structures_is_read_or_refused(hunt, screening):
    file = Path("list.txt")
    file.write_text("Cu.cif\n\n Cu.cif\n")
    hunting = hunt(file, lambda: find_structures([file], Path("screen")), "list of structures").chance().ruins()
    contents = {"long": b"x" * 5000, "zero": b"Cu.cif\0", "above": b"../" * 100, "device": b"/dev/zero", "itself": b"."}
    hunting.contents(contents.items()).done()
    database = Path("source.db")
    for k in range(2):
        connect(database).write(bulk("Cu", cubic=True), name=f"copper-{k}")
    hunt(database, lambda: find_structures([database], Path("screen")), "database of structures").chance(
        2 * CASES
    ).ruins().done()


# mace-mof-calc: models


@pytest.fixture(scope="session")
def packed_once(tmp_path_factory):
    return pack_variant(tmp_path_factory.mktemp("packed"), 1)


@pytest.fixture
def packed(packed_once, registered, monkeypatch):
    """A packed model in the folder of one's own models."""
    monkeypatch.setenv("MACE_MOF_MODELS", str(registered / "models"))
    Path("models").mkdir()
    for suffix in (".json", ".safetensors"):
        shutil.copy(packed_once.with_suffix(suffix), f"models/own{suffix}")
    return Path("models/own.json")


def test_cards_and_tables_of_packed_models_are_read_or_refused(hunt, packed, capsys):
    document = json.loads(packed.read_bytes())
    document["card"]["validation"] = [{"quantity": "E", "result": "1", "criterion": None, "met": None}]
    document["fingerprint"] = {"structure": "MOF-5", "energy": -1.0, "max_force": 0.1}
    packed.write_bytes(to_json(document))

    def read() -> None:
        run(mace_mof, "models", capsys)
        read_card(packed)
        read_packed(packed)

    hunt(packed, read, "packed model").chance().ruins().leaves(json.loads, to_json, 6 * CASES).done()


def test_hyperparameters_of_any_value_make_a_model_or_are_refused(hunt, packed, capsys):
    hunting = hunt(packed, lambda: run(mace_mof, f"info {packed}", capsys), "hyperparameters")
    document = json.loads(packed.read_bytes())
    values = document["hyperparameters"]
    others = {"num_bessel": [1, 9], "max_ell": [0, 1], "num_interactions": [1, 3], "num_polynomial_cutoff": [1]}
    others |= {"hidden_irreps": ["0x0e", "4x1o", "3x0e+4x1o", "4x0o"], "MLP_irreps": ["4x1o"], "radial_MLP": [[]]}
    others |= {"correlation": [[1, 1], [2, 3]], "atomic_numbers": [[1], [1, 2, 3, 4]], "heads": [["a", "b"]]}
    others |= {"r_max": [1e-9, 999999], "pair_repulsion": [True], "distance_transform": ["Agnesi"]}
    places = [(name, value) for name in others for value in others[name]]
    for k in hunting.random.permutation(len(places))[: CASES // 3]:
        name, value = places[k]
        content = to_json({**document, "hyperparameters": {**values, name: value}})
        hunting.contents([(f"{name} = {value}", content)])
    hunting.done()


def test_one_card_that_cannot_be_shown_hides_no_other_model(packed, capsys):
    document = json.loads(packed.read_bytes())
    document["card"]["level_of_theory"] = "\ud800"
    Path("models/strange.json").write_bytes(to_json(document))
    Path("models/strange.safetensors").touch()
    Path("models/folder.json").mkdir()
    Path("models/folder.safetensors").touch()
    assert mace_mof(["models"]) == 0
    assert "own" in capsys.readouterr().out


def lying_safetensors() -> dict[str, bytes]:
    """Return files whose headers say what is not so."""

    def make(header: Any, data: bytes = bytes(8)) -> bytes:
        text = header if isinstance(header, bytes) else to_json(header)
        return len(text).to_bytes(8, "little") + text + data

    tensor = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    return {
        "length": (2**63).to_bytes(8, "little") + b"{}",
        "length of 90 MB": (90_000_000).to_bytes(8, "little") + b"{}",
        "no header": make(b"no"),
        "a list": make([1]),
        "a shape": make({"a": {**tensor, "shape": [2**40, 2**40]}}),
        "a negative shape": make({"a": {**tensor, "shape": [-2]}}),
        "offsets": make({"a": {**tensor, "data_offsets": [8, 0]}}),
        "offsets outside": make({"a": {**tensor, "data_offsets": [0, 2**50]}}),
        "overlap": make({"a": tensor, "b": tensor}),
        "a type": make({"a": {**tensor, "dtype": "X7"}}),
        "another type": make({"a": {**tensor, "dtype": "BF16", "shape": [4]}}),
        "whole numbers": make({"a": {**tensor, "dtype": "I64", "shape": [1]}}),
        "metadata": make({"__metadata__": {"format": 1}, "a": tensor}),
        "deep": make(b"[" * 100_000),
        "none": make({}, b""),
    }


def test_any_weights_are_read_or_refused(hunt, packed):
    import hashlib

    weights = packed.with_suffix(".safetensors")

    def read() -> None:
        document["sha256"] = hashlib.sha256(weights.read_bytes()).hexdigest() if weights.is_file() else ""
        packed.write_bytes(to_json(document))
        read_packed(packed)

    document = json.loads(packed.read_bytes())
    hunting = hunt(weights, read, "safetensors").chance(3 * CASES).ruins().contents(lying_safetensors().items())
    hunting.done()
    for name in ("whole numbers", "none"):
        weights.write_bytes(lying_safetensors()[name])
        read()
        with pytest.raises(MaceMofError):
            load(packed)


def test_any_model_file_is_read_or_refused(hunt, registered, marker):
    file = Path("model.model")
    shutil.copy(FOUNDATION, file)
    pickles = hostile_pickles(marker.absolute())
    marker.with_suffix(".py").write_text("")
    archives = {name: zipped({"a/data.pkl": content}) for name, content in pickles.items()}
    archives |= {
        f"{name} of TorchScript": zipped({"a/data.pkl": each, "a/constants.pkl": each})
        for name, each in pickles.items()
    }
    archives["parts within parts"] = overlapping()
    archives["a bomb"] = zipped({"a/data.pkl": bytes(2**28)}, compressed=True)
    hunting = hunt(file, lambda: read_model_file(resolve(file)).read_state(), "model file").chance(3 * CASES).ruins()
    hunting.contents(pickles.items()).contents(archives.items()).done()
    for name, content in archives.items():
        if name.startswith(("os", "eval", "exec", "subprocess", "runpy", "torch", "getattr")):
            file.write_bytes(content)
            with pytest.raises(UnsafeModelError):
                load(file)
            assert not marker.exists()


def test_any_record_of_a_training_set_is_read_or_refused(hunt, registered):
    environments = {symbol: np.eye(3, dtype=np.float32) for symbol in ("C", "H")}
    contacts = {("C", "C"): 1.2, ("C", "H"): 0.9, ("H", "H"): 0.7}
    write_reference(
        DomainReference("sha256:1", 3, environments, {"C": 1.0, "H": 2.0}, contacts), Path("m.domain.safetensors")
    )
    file, model = Path("m.domain.safetensors"), SimpleNamespace(path=Path("m.json"), digest="sha256:1", name="m")

    def read() -> None:
        found = find_reference(model)
        if found is not None:
            assert set(found.limits) == set(found.environments)
            assert all(isinstance(limit, float) for limit in (*found.limits.values(), *found.contacts.values()))
            assert all(each.ndim == 2 and len(each) for each in found.environments.values())

    content = file.read_bytes()
    size = int.from_bytes(content[:8], "little")

    def encode(document: Any) -> bytes:
        text = to_json(document)
        return len(text).to_bytes(8, "little") + text + content[8 + size :]

    def inner(name: str) -> Iterable[tuple[str, bytes]]:
        header = json.loads(content[8 : 8 + size])
        for what, changed in replace_leaves(
            {name: json.loads(header["__metadata__"][name])}, hunting.random, 2 * CASES
        ):
            metadata = {**header["__metadata__"], name: json.dumps(changed.get(name))}
            yield f"{name}: {what}", encode({**header, "__metadata__": metadata})

    hunting = hunt(file, read, "domain").chance().ruins().contents(lying_safetensors().items())
    hunting.leaves(lambda all_: json.loads(all_[8 : 8 + size]), encode)
    hunting.contents(inner("limits")).contents(inner("contacts")).done()


# mace-mof-calc: training


@pytest.fixture
def frames(registered):
    """A file of labelled frames, one of which carries a Hessian."""
    atoms = Atoms("CuAu", [[0, 0, 0], [2, 2, 2]], cell=np.diag([4.0, 4.1, 4.2]), pbc=True)
    atoms.info |= {"name": "one", "source": "CuAu", "kind": "rattled"}
    labelled = attach_labels(atoms, Labels(-1.5, np.full((2, 3), 0.1), np.arange(6.0)))
    other = attach_hessian(labelled, np.eye(6))
    other.info["name"] = "two"
    write_frames(Path("frames.extxyz"), [labelled, other])
    return Path("frames.extxyz")


def test_any_frames_are_read_or_refused(hunt, frames):
    def read() -> None:
        for atoms in read_frames(frames):
            labels = get_labels(atoms)
            assert labels.forces.shape == (len(atoms), 3)
            assert labels.stress is None or labels.stress.shape == (6,)
            if "REF_hessian" in atoms.arrays:
                get_hessian(atoms)

    text = frames.read_text()
    changes = {
        "an energy in words": text.replace("REF_energy=-1.5", "REF_energy=low"),
        "several energies": text.replace("REF_energy=-1.5", 'REF_energy="1 2 3"'),
        "a true energy": text.replace("REF_energy=-1.5", "REF_energy=T"),
        "two forces": text.replace("REF_forces:R:3", "REF_forces:R:2:rest:R:1"),
        "one force": text.replace("REF_forces:R:3", "REF_forces:R:1:rest:R:2"),
        "forces in words": text.replace("REF_forces:R:3", "REF_forces:S:3"),
        "a stress of four": text.replace('REF_stress="0.0 1.0 2.0 3.0 4.0 5.0"', 'REF_stress="1 2 3 4"'),
        "a stress in words": text.replace('REF_stress="0.0 1.0 2.0 3.0 4.0 5.0"', "REF_stress=high"),
        "a Hessian in words": text.replace("REF_hessian:R:18", "REF_hessian:S:18"),
        "a million atoms": text.replace("2\n", "1000000\n", 1),
    }
    assert text not in changes.values()
    hunting = hunt(frames, read, "frames").chance(6 * CASES).ruins()
    hunting.contents((name, each.encode()) for name, each in changes.items()).done()


def _job(frames: Path) -> Job:
    return Job(Path("out.extxyz"), "label", [frames], {"calculator": "emt", "dtype": "float64"})


@pytest.mark.parametrize("name", ["out.manifest.json", "out.extxyz"])
def test_jobs_that_are_done_are_read_or_refused(name, hunt, frames):
    _job(frames).finish([Part([bulk("Cu")], [Dropped("a", "too large")])], ["take care"])
    hunting = hunt(Path(name), lambda: _job(frames), f"job {name[3:]}").chance().ruins()
    if name.endswith("json"):
        hunting.leaves(json.loads, to_json, 6 * CASES)
    hunting.done()


def test_parts_of_jobs_are_read_or_refused(hunt, frames):
    job = _job(frames)
    job.keep("a part", Part([bulk("Cu")], [Dropped("a", "too large")]))
    del job

    def read() -> None:
        job = _job(frames)
        if job.has("a part"):
            job.read("a part")

    for file in sorted(Path("out.parts").iterdir()):
        hunting = hunt(file, read, f"part {file.suffix}").chance().ruins()
        if file.suffix == ".json":
            hunting.leaves(json.loads, to_json)
        hunting.done()


def test_results_of_trainings_are_read_or_refused(hunt, registered):
    Path("m.json").touch()
    test = {"head": "Default", "epoch": 1, "loss": 0.1, "energy_rmse": 0.1, "forces_rmse": 0.1, "stress_rmse": None}
    test |= {"energy_mae": 0.1, "forces_mae": 0.1, "stress_mae": None}
    document = {"asked": {"epochs": 1}, "epochs": 1, "best": 1, "stopped_early": False, "test": [test], "stand_ins": {}}
    file = Path("result.json")
    file.write_text(json.dumps(document))
    hunt(file, lambda: read_result(Path(), "m", {"epochs": 1}), "result").chance().ruins().leaves(
        json.loads, to_json, 6 * CASES
    ).done()


def test_checkpoints_are_read_or_refused(hunt, registered, marker):
    import torch

    file = Path("checkpoint.pt")
    save_checkpoint({"question": "q", "module": {"a": torch.zeros(3)}, "progress": {"epoch": 1}}, file)
    pickles = {n: zipped({"a/data.pkl": c, "a/version": b"3"}) for n, c in hostile_pickles(marker.absolute()).items()}
    others = {}
    for other in (None, [1], {"question": torch.zeros(2)}, {}, {"question": None}, torch.zeros(1)):
        buffer = io.BytesIO()
        torch.save(other, buffer)
        others[str(other)] = buffer.getvalue()
    hunting = hunt(file, lambda: load_checkpoint(file, "q"), "checkpoint").chance().ruins()
    hunting.contents(pickles.items()).contents(others.items()).done()


XML_BOMB = "".join(f'<!ENTITY a{k} "{f"&a{k - 1};" * 10}">' for k in range(1, 12))


def test_any_output_of_vasp_is_read_or_its_frame_left_out(hunt, registered, marker):
    atoms = Atoms("ZnO", cell=np.diag([6.0, 7.0, 12.0]), pbc=True, scaled_positions=[[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    atoms.info["name"] = "one"
    (planned,) = plan_inputs([atoms])
    file = Path("vasp") / planned.folder / "vasprun.xml"
    order = list(planned.order)
    write_vasprun(
        file, atoms[order], planned.incar, planned.mesh, planned.potentials,
        energies=(-31.5, -31.25, -31.375), forces=np.zeros((2, 3)), stress=np.eye(3),
    )  # fmt: skip

    def read() -> None:
        ((_, part),) = read_labels([atoms], Path("vasp"))
        assert part.frames or part.dropped[0].reason

    marker.write_text("secret")
    kept = file.read_text()
    start = kept.index("<modeling>")
    entities = f'<!DOCTYPE m [<!ENTITY a0 "lol">{XML_BOMB}<!ENTITY file SYSTEM "file://{marker}">]>'
    marker.unlink()
    bombs = {
        "laughs": kept[:start] + entities + kept[start:].replace("6.3.2", "&a11;"),
        "another file": kept[:start] + entities + kept[start:].replace("6.3.2", "&file;"),
        "deep": kept[:start] + "<a>" * 100_000,
    }
    hunting = hunt(file, read, "vasprun.xml").chance(2 * CASES).ruins()
    hunting.contents((name, text.encode()) for name, text in bombs.items()).done()


def test_any_cif_is_curated_or_left_out(hunt, registered):
    file = Path("a.cif")
    write(file, bulk("NaCl", "rocksalt", a=5.6))

    def read() -> None:
        with suppress(StructureError):  # which becomes the reason why it is dropped
            read_cif(file)

    hunt(file, read, "CIF to curate").chance(3 * CASES).ruins().done()
