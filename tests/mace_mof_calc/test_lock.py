"""Locks on places that cannot be locked."""

import errno

import pytest
from filelock import FileLock

from mace_mof_calc.errors import OutputError
from mace_mof_calc.lock import holding


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError) as caught, holding(tmp_path / "file" / "in" / "out.lock"):
        pass
    assert "Folder" in caught.value.what
    assert "Not a directory" in caught.value.why
    assert "name another place" in caught.value.remedy


@pytest.mark.parametrize(("code", "said"), [(errno.ENOSPC, "No space left"), (errno.EACCES, "Permission denied")])
def test_a_lock_that_cannot_be_written_is_told(code, said, tmp_path, monkeypatch):
    fail(monkeypatch, OSError(code, said))
    with pytest.raises(OutputError, match=f"out.lock cannot be written.*{said}"), holding(tmp_path / "out.lock"):
        pass


@pytest.mark.parametrize("error", [OSError(errno.ENOLCK, "No locks available"), NotImplementedError("no locks"), None])
def test_a_file_system_without_locks_is_warned_of(error, tmp_path, monkeypatch):
    if error is None:
        fcntl = pytest.importorskip("fcntl", reason="Windows has locks of its own")
        monkeypatch.setattr(fcntl, "flock", lambda *_: refuse())
    else:
        fail(monkeypatch, error)
    done = []
    with pytest.warns(UserWarning, match="has no locks"), holding(tmp_path / "out.lock"):
        done.append(True)
    assert done


def refuse():
    raise OSError(errno.ENOSYS, "Function not implemented")


def fail(monkeypatch, error):
    def acquire(*_, **__):
        raise error

    monkeypatch.setattr(FileLock, "acquire", acquire)
