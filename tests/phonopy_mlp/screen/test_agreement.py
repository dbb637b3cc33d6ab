"""Folder and database of a screening, and what decides its results."""

import shutil
from pathlib import Path

import pytest
from ase.db import connect

from phonopy_mlp.errors import SettingsError
from phonopy_mlp.screen.agreement import agree
from phonopy_mlp.screen.store import Store


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("r").mkdir()
    return Path("r")


def asked(**words):
    return {step: {"calculator": {"name": "emt"}, "words": own} for step, own in words.items()}


def have_results(folder, step):
    path = folder / "tasks" / "Cu" / step / "task.json"
    path.parent.mkdir(parents=True)
    path.touch()


def test_what_nothing_came_of_may_be_asked_otherwise(folder):
    agree(Store("r.db"), folder, asked(relax=["a"], eos=["b"]))
    agree(Store("r.db"), folder, asked(relax=["c"]))
    have_results(folder, "relax")
    agree(Store("r.db"), folder, asked(relax=["c"], phonons=["d"]))
    with pytest.raises(
        SettingsError, match=r"'r' has results of 'relax' that were made otherwise: words: \['c'\], now"
    ):
        agree(Store("r.db"), folder, asked(relax=["a"]))
    with pytest.raises(SettingsError, match="has results of relax, too"):
        agree(Store("r.db"), folder, asked(phonons=["d"]))
    agree(Store("r.db"), folder, asked(relax=["c"], phonons=["e"]))


def test_two_screenings_do_not_share_a_database(folder):
    agree(Store("r.db"), folder, asked(relax=[]))
    Path("s").mkdir()
    with pytest.raises(SettingsError, match=r"'r\.db' has the results of another folder than 's'"):
        agree(Store("r.db"), Path("s"), asked(relax=[]))
    agree(Store("s.db"), Path("s"), asked(relax=[]))
    with pytest.raises(SettingsError, match="another folder than 's'"):
        agree(Store("r.db"), Path("s"), asked(relax=[]))
    # Nothing was changed, and both may be moved.
    shutil.move("r", "moved")
    shutil.move("r.db", "moved.db")
    agree(Store("moved.db"), Path("moved"), asked(relax=[]))
    agree(Store("s.db"), Path("s"), asked(relax=[]))


def test_a_database_can_be_made_again_from_its_folder_and_others_are_held_to_it(folder):
    agree(Store("r.db"), folder, asked(relax=["a"]))
    have_results(folder, "relax")
    Path("r.db").unlink()
    with pytest.raises(SettingsError, match="made otherwise"):
        agree(Store("new.db"), folder, asked(relax=["b"]))
    agree(Store("r.db"), folder, asked(relax=["a"]))
    agree(Store("r.db"), folder, asked(relax=["a"]))


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"identity": 1, "steps": {}}', '{"identity": "a", "steps": {"relax": 1}}']
)
def test_a_folder_that_does_not_say_who_it_is_is_refused(folder, content):
    agree(Store("r.db"), folder, asked(relax=[]))
    (folder / "screening.json").write_text(content)
    with pytest.raises(SettingsError, match=r"screening.json' cannot be read"):
        agree(Store("r.db"), folder, asked(relax=[]))


def test_what_else_a_database_has_is_kept(folder):
    connect("r.db").metadata = {"title": "mine"}
    agree(Store("r.db"), folder, asked(relax=[]))
    metadata = connect("r.db").metadata
    assert metadata["title"] == "mine"
    assert metadata["phonopy_mlp_screen"]["steps"] == asked(relax=[])
