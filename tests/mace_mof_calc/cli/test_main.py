"""What goes wrong is said in one line, with why, and what to do."""

import errno

import pytest

from mace_mof_calc.cli import main


def complain(words: str, capsys) -> str:
    assert main(words.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(("place", "why"), [("file", "File exists"), ("file/in/it", "Not a directory")])
def test_a_folder_that_is_a_file(place, why, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    line = complain(f"evaluate in.extxyz -o {place} --model mini", capsys)
    assert line.startswith(f"mace-mof: error: Folder {place} cannot be made")
    assert why in line
    assert "name another place" in line
    assert (tmp_path / "file").is_file()


def test_an_error_of_the_system_is_told_with_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def fail(*_, **__):
        raise OSError(errno.EIO, "Input/output error", "weights.model")

    monkeypatch.setattr("mace_mof_calc.training.evaluate.run.evaluate", fail)
    line = complain("evaluate in.extxyz -o out --model mini", capsys)
    assert "weights.model cannot be read or written. Input/output error. Check its name" in line
