import errno

import pytest

from phonopy_mlp.errors import OutputError
from phonopy_mlp.files import alone, check_folder, replacing


def test_a_file_appears_whole(tmp_path):
    with replacing(tmp_path / "a.txt") as path:
        path.write_text("whole")
        assert not (tmp_path / "a.txt").exists()
    assert (tmp_path / "a.txt").read_text() == "whole"
    assert [found.name for found in tmp_path.iterdir()] == ["a.txt"]


def test_a_failure_leaves_the_old_file_and_no_litter(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail_midway():
        with replacing(target) as path:
            path.write_text("half")
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        fail_midway()
    assert target.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["a.txt"]


def test_a_full_disk_is_a_clear_error(tmp_path):
    with pytest.raises(OutputError, match="No space left"), replacing(tmp_path / "a.txt"):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_made(tmp_path):
    check_folder(tmp_path / "new" / "er")
    assert list((tmp_path / "new" / "er").iterdir()) == []


def test_a_folder_under_a_file_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        check_folder(tmp_path / "file" / "folder")


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("phonopy_mlp.files.tempfile.mkstemp", refuse)
    with pytest.raises(OutputError, match="Permission denied"):
        check_folder(tmp_path)


@pytest.mark.parametrize(
    ("called", "code"), [("filelock.FileLock.acquire", errno.ENOLCK), ("fcntl.flock", errno.ENOSYS)]
)
def test_a_file_system_without_locks_keeps_nobody_from_work(tmp_path, monkeypatch, called, code):
    pytest.importorskip("fcntl", reason="Windows has locks of its own")

    def refuse(*_, **__):
        raise OSError(code, "No locks available")

    monkeypatch.setattr(called, refuse)
    worked = False
    with pytest.warns(UserWarning, match="has no locks: nothing keeps another run out"), alone(tmp_path):
        worked = True
    assert worked
