"""Jobs: nothing done twice, nothing mixed, nothing overwritten."""

import json

import pytest
from ase.build import bulk

from mace_mof_calc.errors import FramesError, TrainingError
from mace_mof_calc.frames import read_frames, write_frames
from mace_mof_calc.training.job import Dropped, Job, Part, manifest_path, read_manifest


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
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "one.cif").write_text("1")
    first = Job(tmp_path / "out.extxyz", "curate", [folder], {}).inputs
    (folder / "two.cif").write_text("2")
    assert Job(tmp_path / "out.extxyz", "curate", [folder], {}).inputs != first


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
