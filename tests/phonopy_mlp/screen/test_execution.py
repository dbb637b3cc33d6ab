"""A task in its folder: what is kept, what is done again, and what is no answer."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from ase.build import bulk
from ase.io import write

from phonopy_mlp.errors import CalculatorError, OutputError
from phonopy_mlp.registry import describe, get_calculator
from phonopy_mlp.screen import execution
from phonopy_mlp.screen.entries import read_entries
from phonopy_mlp.screen.execution import execute, read_outcome
from phonopy_mlp.screen.plan import Model, make_plan
from phonopy_mlp.screen.task import digest_plain, tell_calculator

from .conftest import make_metals, screen


@pytest.fixture
def task(place):
    """Relaxation of copper, of a plan that names a file."""
    make_metals(place / "cifs", "Cu")
    (place / "own.yaml").write_text("relax-fmax: 0.001\n")
    plan = make_plan(["relax"], {"relax": "--fix-atoms 1 --mlp-config own.yaml"}, Model("moody", "cpu"))
    (entry,) = read_entries({"Cu": place / "cifs" / "Cu.cif"})
    return plan.task(entry, "relax", entry.path, place / "r")


def test_a_task_is_done_once(task):
    first = execute(task)
    assert first.state == "done"
    written = task.path.stat().st_mtime_ns
    assert execute(task) == read_outcome(task) == first
    assert task.path.stat().st_mtime_ns == written


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_structure_that_changes_gives_no_answer(task, when, monkeypatch):
    def change():
        write(task.structure, bulk("Cu", cubic=True, a=3.7))

    if when == "before":
        change()
    else:
        original = execution.redirect_stdout

        def redirect(*words):
            change()
            return original(*words)

        monkeypatch.setattr(execution, "redirect_stdout", redirect)
    outcome = execute(task)
    assert (outcome.state, task.path.exists()) == ("lost", False)
    assert outcome.reason == f"'{task.structure}' has changed since the screening began"


def test_a_file_that_is_gone_has_changed(task):
    Path(task.stamps[0].path).unlink()
    assert execute(task).state == "lost"


def test_what_answers_another_question_is_no_part_of_the_answer(task, place):
    assert execute(task).state == "done"
    (Path(task.folder) / "report.html").touch()
    (Path(task.folder) / "more").mkdir()
    other = replace(task, question="sha256:another")
    assert execute(other).state == "done"
    assert {path.name for path in Path(task.folder).iterdir()} == {
        "log.txt",
        "phonopy_mlp-relax.yaml",
        "question.txt",
        "relaxed.cif",
        "task.json",
    }
    assert read_outcome(task) is None


def die(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize("left", ["clearing", "working"])
def test_what_was_left_of_another_question_is_no_part_of_the_answer(left, task, monkeypatch):
    """By a kill: while the folder was cleared, or when files were there and no outcome."""
    assert execute(task).state == "done"
    other = replace(task, question="sha256:another")
    (Path(task.folder) / "total_dos.dat").touch()
    task.path.unlink()
    if left == "clearing":
        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", die)
            with pytest.raises(KeyboardInterrupt):
                execute(other)
    assert execute(other).state == "done"
    assert not (Path(task.folder) / "total_dos.dat").exists()


def test_a_damaged_result_is_made_again(task):
    expected = execute(task)
    Path(expected.structure).write_text(Path(expected.structure).read_text().replace("Cu", "Al"))
    assert read_outcome(task) is None
    assert execute(task).files == expected.files


@pytest.mark.parametrize("said", ["OutOfMemoryError: no", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED"])
@pytest.mark.parametrize("whose", ["the calculator's", "the command's"])
def test_too_little_memory_is_no_answer(said, whose, task, monkeypatch):
    def run_out(words, **_):
        if whose == "the calculator's":
            raise CalculatorError("The calculator failed on Cu4", said, "Check")
        print(f"phonopy-mlp: error: {said}")
        return 2

    monkeypatch.setattr("phonopy_mlp.cli.main.main", run_out)
    with pytest.raises(MemoryError, match=said):
        execute(task)
    assert not task.path.exists()


def test_another_calculator_of_that_name_gives_no_answer(task, monkeypatch):
    known = replace(task, calculator=digest_plain(tell_calculator(describe(get_calculator("moody", device="cpu")))))
    monkeypatch.setenv("MOODY_DIGEST", "1")
    outcome = execute(known)
    assert (outcome.state, task.path.exists()) == ("lost", False)
    assert outcome.reason == "calculator 'moody' is not what it was when the screening began"
    monkeypatch.delenv("MOODY_DIGEST")
    assert execute(known).state == "done"


def test_a_folder_that_another_process_does_not_leave(task, monkeypatch):
    monkeypatch.setattr(execution, "_PATIENCE", 0.2)
    Path(task.folder).mkdir(parents=True)
    code = (
        "import sys; from pathlib import Path; from phonopy_mlp.files import alone\n"
        f"with alone(Path({task.folder!r}), 'task'): print(flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    other.stdout.readline()
    with pytest.raises(OutputError, match="Another run is at work"):
        execute(task)
    other.communicate()
    assert execute(task).state == "done"


def test_a_step_from_another_structure_is_another_question(place):
    make_metals(place / "cifs", "Cu")
    (entry,) = read_entries({"Cu": place / "cifs" / "Cu.cif"})
    plan = make_plan(["relax", "phonons"], {}, Model("moody", "cpu"))
    questions = {plan.task(entry, "phonons", entry.path, place / "r", made=made).question for made in ("", "a", "b")}
    assert len(questions) == 3


def test_what_is_made_anew_and_the_same_is_gone_on_from(place):
    make_metals(place / "cifs", "Cu")
    assert screen() == 0
    relaxed, phonons = (place / "r/tasks/Cu" / name for name in ("relax/relaxed.cif", "phonons/task.json"))
    before = phonons.stat().st_mtime_ns
    content = relaxed.read_bytes()
    relaxed.unlink()
    assert screen() == 0
    assert relaxed.read_bytes() == content
    assert phonons.stat().st_mtime_ns == before
    phonons.with_name("force_constants.hdf5").unlink()
    assert screen() == 0
    assert phonons.with_name("force_constants.hdf5").is_file()
    assert phonons.stat().st_mtime_ns > before


def test_an_order_of_words_changes_no_question(place):
    make_metals(place / "cifs", "Cu")
    (entry,) = read_entries({"Cu": place / "cifs" / "Cu.cif"})

    def ask(**description):
        plan = make_plan(["relax"], {}, Model("moody", "cpu", description=description))
        return plan.task(entry, "relax", entry.path, place / "r").question

    assert ask(a=1, b=2) == ask(b=2, a=1) != ask(a=2, b=1)
