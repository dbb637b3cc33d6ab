"""Jobs: nothing done twice, nothing mixed, nothing overwritten."""

import errno
import json
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from ase.build import bulk
from processes import ENVIRONMENT, run_program

from mace_mof_calc.errors import FramesError, TrainingError
from mace_mof_calc.files import write_file
from mace_mof_calc.frames import read_frames, write_frames
from mace_mof_calc.training import job as jobs
from mace_mof_calc.training import manifest as manifests
from mace_mof_calc.training.job import Job, Part
from mace_mof_calc.training.manifest import Dropped, manifest_path, read_manifest


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.extxyz"
    write_frames(path, [bulk("Cu")])
    return path


def count(results):
    """Return work that counts how often it is done."""
    done = []

    def make(name):
        def work():
            done.append(name)
            return results[name]

        return work

    return done, make


def test_a_job_goes_on_where_it_was(source, tmp_path):
    output = tmp_path / "out.extxyz"
    results = {"a/1": Part([bulk("Cu"), bulk("Al")]), "b": Part([], [Dropped("b", "too large")])}
    done, work = count(results)
    Job(output, "sample", [source], {"seed": 1}).do("a/1", work("a/1"))
    job = Job(output, "sample", [source], {"seed": 1})
    assert job.has("a/1")
    assert not job.has("b")
    parts = [job.do(name, work(name)) for name in results]
    assert done == ["a/1", "b"]
    manifest = job.finish(parts)
    assert [atoms.get_chemical_formula() for atoms in read_frames(output)] == ["Cu", "Al"]
    assert manifest.dropped == (Dropped("b", "too large"),)
    assert read_manifest(output) == manifest
    assert Job(output, "sample", [source], {"seed": 1}).finished == manifest
    del job
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.extxyz", "out.extxyz", "out.manifest.json"]


def test_what_was_made_or_begun_otherwise_is_refused(source, tmp_path):
    output = tmp_path / "out.extxyz"
    job = Job(output, "sample", [source], {"seed": 1, "sigma": [0.1]})
    part = job.do("a", lambda: Part([bulk("Cu")]))
    with pytest.raises(TrainingError, match=r"begun otherwise.*seed was 1 and is 2"):
        Job(output, "sample", [source], {"seed": 2, "sigma": [0.1]})
    job.finish([part])
    before = output.read_bytes()
    with pytest.raises(TrainingError, match=r"sigma was \[0.1\] and is \[0.2\]"):
        Job(output, "sample", [source], {"seed": 1, "sigma": [0.2]})
    with pytest.raises(TrainingError, match="by 'sample', not by 'label'"):
        Job(output, "label", [source], {"seed": 1, "sigma": [0.1]})
    write_frames(source, [bulk("Al")])
    with pytest.raises(TrainingError, match="other input files"):
        Job(output, "sample", [source], {"seed": 1, "sigma": [0.1]})
    assert output.read_bytes() == before


def test_files_of_others_are_kept(source, tmp_path):
    output = tmp_path / "out.extxyz"
    write_frames(output, [bulk("Cu")])
    with pytest.raises(TrainingError, match="no manifest"):
        Job(output, "sample", [source], {})
    output.unlink()
    output.with_suffix(".parts").mkdir()
    (output.with_suffix(".parts") / "thesis.txt").write_text("mine")
    with pytest.raises(TrainingError, match="Move it away"):
        Job(output, "sample", [source], {})
    assert (output.with_suffix(".parts") / "thesis.txt").read_text() == "mine"


def test_a_kill_between_manifest_and_file(source, tmp_path):
    output = tmp_path / "out.extxyz"
    job = Job(output, "sample", [source], {})
    job.finish([job.do("a", lambda: Part([bulk("Cu")]))])
    output.unlink()  # as if killed before it was written
    again = Job(output, "sample", [source], {})
    assert again.finished is None
    again.finish([again.do("a", lambda: Part([bulk("Cu")]))])
    assert len(read_frames(output)) == 1


def test_changed_files_and_damaged_manifests(source, tmp_path):
    output = tmp_path / "out.extxyz"
    job = Job(output, "sample", [source], {})
    job.finish([job.do("a", lambda: Part([bulk("Cu")]))])
    write_frames(output, [bulk("Al")])
    with pytest.raises(TrainingError, match="changed after it was made"):
        read_manifest(output)
    for text in ("{}", "[]", "no", json.dumps({"format": "mace-mof-calc manifest 1", "step": "x"})):
        manifest_path(output).write_text(text)
        with pytest.raises(TrainingError, match="no manifest that can be read"):
            read_manifest(output)


def test_inputs(source, tmp_path):
    with pytest.raises(FramesError, match="absent"):
        Job(tmp_path / "out.extxyz", "sample", [tmp_path / "absent"], {})
    with pytest.raises(TrainingError, match="suffix"):
        Job(tmp_path / "out.xyz", "sample", [source], {})
    with pytest.raises(FramesError, match="There is no file"):
        Job(tmp_path / "out.extxyz", "sample", [tmp_path], {})
    with pytest.raises(TrainingError, match=r"in\.extxyz was given twice"):
        Job(tmp_path / "out.extxyz", "sample", [source, source], {})
    assert [path.name for path in tmp_path.iterdir()] == ["in.extxyz"]


def test_what_inputs_hold_and_their_order_count(source, tmp_path):
    """Not where they lie, nor what lies beside them, such as the output."""
    other, output = tmp_path / "other.extxyz", tmp_path / "out.extxyz"
    write_frames(other, [bulk("Al")])
    job = Job(output, "sample", [source, other], {})
    job.finish([job.do("a", lambda: Part([bulk("Cu")]))])
    elsewhere = shutil.copy(source, tmp_path / "copy.extxyz")
    assert Job(output, "sample", [elsewhere, other], {}).finished
    for inputs in ([other, source], [source]):
        with pytest.raises(TrainingError, match="other input files"):
            Job(output, "sample", inputs, {})


def test_versions_are_those_of_what_is_installed(source, tmp_path, monkeypatch):
    monkeypatch.setattr(manifests, "_PACKAGES", ("ase", "no-such-package", "spglib"))
    job = Job(tmp_path / "out.extxyz", "sample", [source], {})
    versions = job.finish([Part([bulk("Cu")])]).versions
    assert versions == {"ase": version("ase"), "spglib": version("spglib")}


def test_nothing_left_is_an_error_that_says_why(source, tmp_path):
    job = Job(tmp_path / "out.extxyz", "sample", [source], {})
    part = job.do("a", lambda: Part([], [Dropped("a", "contact of 0.3 A")]))
    with pytest.raises(TrainingError, match=r"a: contact of 0\.3 A"):
        job.finish([part])
    assert not (tmp_path / "out.extxyz").exists()


def test_a_finished_job_is_reopened(source, tmp_path):
    output = tmp_path / "out.extxyz"
    job = Job(output, "label", [source], {})
    work = {"a": Part([bulk("Cu")]), "b": Part([], [Dropped("b", "failed")])}
    job.finish([job.do(name, lambda part=part: part) for name, part in work.items()], warnings=["narrow"])
    assert read_manifest(output).warnings == ("narrow",)
    job = Job(output, "label", [source], {})
    job.keep("a", work["a"])  # as far as a kill while it is reopened
    job = Job(output, "label", [source], {})
    assert job.finished
    job.reopen({"a": work["a"]})
    job = Job(output, "label", [source], {})
    assert not job.finished
    assert job.has("a")
    assert not job.has("b")
    manifest = job.finish([job.read("a"), job.do("b", lambda: Part([bulk("Al")]))])
    assert (manifest.frames, manifest.dropped, manifest.warnings) == (2, (), ())


class Killed(BaseException):
    """Nothing catches it, as nothing catches a kill."""


@pytest.fixture
def killing(monkeypatch):
    """Return a function after which one of the next calls of functions, the one with that number, is a kill."""

    def kill(at, *functions):
        calls = iter(range(at + 1))
        for owner, name in functions:
            original = getattr(owner, name)

            def deadly(*words, original=original, **options):
                if next(calls) == at:
                    monkeypatch.undo()
                    raise Killed
                return original(*words, **options)

            monkeypatch.setattr(owner, name, deadly)

    return kill


def make_parts():
    return {"a": Part([bulk("Cu")]), "b": Part([bulk("Al")]), "c": Part([], [Dropped("c", "failed")])}


@pytest.mark.parametrize("removed", range(7))  # six files, and their folder
def test_a_kill_while_parts_are_removed(source, tmp_path, killing, removed):
    output = tmp_path / "out.extxyz"
    job = Job(output, "sample", [source], {"seed": 1})
    parts = [job.do(name, lambda part=part: part) for name, part in make_parts().items()]
    killing(removed, (Path, "unlink"), (Path, "rmdir"))
    with pytest.raises(Killed):
        job.finish(parts)
    shutil.copytree(tmp_path, tmp_path / "there")
    assert Job(output, "sample", [source], {"seed": 1}).finished
    assert not output.with_suffix(".parts").exists()
    # Where the output is taken away as well, no part has lost its frames.
    there = tmp_path / "there" / "out.extxyz"
    there.unlink()
    again = Job(there, "sample", [source], {"seed": 1})
    again.finish([again.do(name, lambda part=part: part) for name, part in make_parts().items()])
    assert [atoms.get_chemical_formula() for atoms in read_frames(there)] == ["Cu", "Al"]


@pytest.mark.parametrize("written", [".job.json.x2b", None])
def test_a_kill_before_it_is_known_what_was_begun(source, tmp_path, killing, written):
    output = tmp_path / "out.extxyz"
    killing(0, (jobs, "write_file"))
    with pytest.raises(Killed):
        Job(output, "sample", [source], {"seed": 1}).keep("a", Part([bulk("Cu")]))
    assert list(output.with_suffix(".parts").iterdir()) == []
    if written:
        (output.with_suffix(".parts") / written).write_text("{")
    Job(output, "sample", [source], {"seed": 2}).keep("a", Part([bulk("Al")]))
    with pytest.raises(TrainingError, match="seed was 2 and is 1"):
        Job(output, "sample", [source], {"seed": 1})
    job = Job(output, "sample", [source], {"seed": 2})
    job.finish([job.read("a")])
    assert read_frames(output)[0].get_chemical_formula() == "Al"
    assert not output.with_suffix(".parts").exists()


@pytest.mark.parametrize("written", range(3))
def test_a_kill_while_a_part_is_replaced(source, tmp_path, killing, written):
    output = tmp_path / "out.extxyz"
    failed, succeeded = Part([], [Dropped("a", "failed")]), Part([bulk("Cu")])
    job = Job(output, "label", [source], {})
    job.keep("a", failed)
    killing(written, (Path, "unlink"), (jobs, "write_frames"), (jobs, "write_file"))
    with pytest.raises(Killed):
        job.keep("a", succeeded)
    job = Job(output, "label", [source], {})
    assert not job.has("a") or (job.read("a").frames, job.read("a").dropped) == ((), (Dropped("a", "failed"),))


@pytest.mark.parametrize("at", range(5))
def test_a_full_disk_loses_nothing(source, tmp_path, monkeypatch, at):
    output, calls = tmp_path / "out.extxyz", iter(range(at + 1))
    done, work = count({"a": Part([bulk("Cu")]), "b": Part([bulk("Al")])})

    def write(path, content):
        if next(calls) == at:  # of job.json, parts a and b, the manifest, the output
            raise OSError(errno.ENOSPC, "No space left on device")
        write_file(path, content)

    for module in (jobs, manifests):
        monkeypatch.setattr(module, "write_file", write)

    def run():
        job = Job(output, "sample", [source], {})
        job.finish([job.do(name, work(name)) for name in ("a", "b")])

    with pytest.raises(OSError, match="No space left"):
        run()
    assert not output.exists()
    monkeypatch.undo()
    run()
    assert len(done) == (2 if at > 2 else 3)  # what was being written is done again
    assert len(read_frames(output)) == 2


def test_one_process_at_a_time(source, tmp_path):
    """Another process is refused until this one has let go, and the lock of one that was killed does not count."""
    output, lock = tmp_path / "out.extxyz", tmp_path / "out.lock"
    arguments = f"Path({str(output)!r}), 'sample', [Path({str(source)!r})], {{}}"
    begin = f"from pathlib import Path; from mace_mof_calc.training.job import Job; job = Job({arguments})"
    job = Job(output, "sample", [source], {})
    again = Job(output, "sample", [source], {})  # of the same process, after an error that keeps the first one alive
    del again
    refused = subprocess.run([sys.executable, "-c", begin], env=ENVIRONMENT, capture_output=True, text=True)
    assert f"TrainingError: Another process is at work on {tmp_path / 'out'}" in refused.stderr
    assert lock.exists()
    del job
    assert not lock.exists()
    run_program(begin)
    assert not lock.exists()
    killed = subprocess.run([sys.executable, "-c", f"{begin}; import os; os.kill(os.getpid(), 9)"], env=ENVIRONMENT)
    assert killed.returncode == -9
    assert lock.exists()
    job = Job(output, "sample", [source], {})
    job.finish([job.do("a", lambda: Part([bulk("Cu")]))])
    del job
    assert not lock.exists()
