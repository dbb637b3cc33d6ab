"""The examples, which take minutes to hours, and the documents' commands, as far as seconds can tell."""

import ast
import inspect
import re
import runpy
import shlex
from pathlib import Path

import pytest

from mace_mof_calc.cli.main import _make_parser as make_mace_mof_parser
from phonopy_mlp.cli.command import COMMANDS
from phonopy_mlp.cli.main import main, phonopy_main

ROOT = Path(__file__).parents[1]
OURS = ("phonopy_mlp", "mace_mof_calc")
SCRIPTS = [
    path
    for path in sorted((ROOT / "examples").glob("*.py"))
    if re.search(rf"^from ({'|'.join(OURS)})", path.read_text(), re.M)
]


def lines(program: str) -> list:
    """Return the commands of a program in shell scripts, and in the shell blocks of documents."""
    texts = {path: path.read_text() for path in sorted((ROOT / "examples").glob("*.sh"))}
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        texts[path] = "\n".join(re.findall(r"^```sh\n(.*?)^```", path.read_text(), re.M | re.S))
    found = []
    for path, text in texts.items():
        for line in map(str.strip, text.replace("\\\n", " ").splitlines()):
            if line.split(maxsplit=1)[:1] == [program]:
                found.append(pytest.param(line, id=f"{path.name}: {line[:60]}"))
    return found


def commands() -> list:
    """Return the commands of one step or of a run."""
    steps = [each for each in lines("phonopy-mlp") if each.values[0].split()[1] in ("run", *COMMANDS)]
    return [*lines("phonopy"), *steps]


@pytest.mark.parametrize("line", commands())
def test_a_command_lacks_nothing_but_its_structure(line, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    program, *words = shlex.split(line)
    (structure,) = (word for word in words if word.endswith(".cif"))
    assert (phonopy_main if program == "phonopy" else main)(words) == 2
    assert f"Structure file '{structure}' was not found" in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("line", lines("mace-mof"))
def test_a_command_has_the_options_that_there_are(line):
    words = shlex.split(line, comments=True)[1:]
    assert make_mace_mof_parser().parse_args(words)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_finds_what_it_imports_and_calls_it_with_arguments_that_it_takes(path):
    # Not as the main program, so that nothing is computed.
    names = runpy.run_path(str(path))
    calls = 0
    for node in ast.walk(ast.parse(path.read_text())):
        called = names.get(node.func.id) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else None
        if called is None or called.__module__.partition(".")[0] not in OURS:
            continue
        positional = [None] * len(node.args)
        inspect.signature(called).bind(*positional, **{word.arg: None for word in node.keywords})
        calls += 1
    assert calls > 0
