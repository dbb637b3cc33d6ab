"""The documents' own examples, run from their text."""

import csv
import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from mace_mof_calc.cli.main import _make_parser
from mace_mof_calc.models.own import MODELS_VARIABLE
from phonopy_mlp.cli.main import main as phonopy_mlp_main
from phonopy_mlp.cli.main import phonopy_main

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def blocks(language: str) -> list:
    found = []
    for path in DOCUMENTS:
        for k, text in enumerate(re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.M | re.S)):
            found.append(pytest.param(text, id=f"{path.name}-{k}"))
    return found


def without_network() -> list[str]:
    """Return what takes the network from a command, where this system can; its user is root there, by name."""
    prefix = ["unshare", "--map-root-user", "--net"]
    try:
        return prefix if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0 else []
    except FileNotFoundError:
        return []


OFFLINE = without_network()


def run(command: list[str], folder: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [*OFFLINE, *command], cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.skipif(not OFFLINE, reason="this system has no network namespaces for its users")
def test_the_examples_run_without_a_network(tmp_path):
    with pytest.raises(AssertionError, match="unreachable"):
        run([sys.executable, "-c", "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)"], tmp_path)


@pytest.mark.parametrize("text", blocks("python"))
def test_python_examples_run(text, tmp_path):
    run([sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", text], tmp_path)


def test_the_readmes_command_computes_phonons(tmp_path):
    (command,) = re.findall(r"^```sh\n(python -c .*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    run(["sh", "-ec", command], tmp_path)
    for name in ("phonopy_params.yaml", "phonopy_mlp.yaml", "thermal_properties.yaml"):
        assert (tmp_path / name).stat().st_size > 0


def test_the_demo_runs(tmp_path):
    run(["sh", str(ROOT / "examples/demo.sh")], tmp_path)
    for name in ("relaxed.cif", "band.yaml", "total_dos.dat", "thermal_properties.yaml", "phonons.png"):
        assert (tmp_path / "demo" / name).stat().st_size > 0


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text()):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def commands(path: Path, program: str) -> list[str]:
    """Return a file's lines that begin with a program."""
    return [line for line in map(str.strip, path.read_text().splitlines()) if line.startswith(program)]


@pytest.mark.parametrize("text", blocks("sh"))
def test_commands_have_the_options_that_there_are(text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path))
    for line in text.replace("\\\n", "").splitlines():
        program, *words = shlex.split(line, comments=True) or [""]
        if program == "mace-mof":
            _make_parser().parse_args(words)
        elif program in ("phonopy", "phonopy-mlp"):
            # In an empty folder a command that is right misses nothing but what it is to read.
            words = ["mini" if word == "mof0" else word for word in words]
            assert (phonopy_main if program == "phonopy" else phonopy_mlp_main)(words) == 2
            assert re.search("not found|no such", capsys.readouterr().err), line


def test_the_readme_installs_as_make_does():
    recipe = (ROOT / "Makefile").read_text().partition("\n$(INSTALLED):")[2].partition("\n\n")[0]
    made = [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe.splitlines() if " -m pip " in line]
    assert len(made) == 3
    assert commands(ROOT / "README.md", ".venv/bin/python -m pip") == made


@pytest.mark.parametrize("program", ["python -c", "phonopy --mlp"])
def test_the_readme_has_the_commands_of_the_demo(program):
    (command,) = commands(ROOT / "examples/demo.sh", program)
    assert command in commands(ROOT / "README.md", program)


TABLES = [
    ("docs/phonopy-mlp.md", "benchmarks/results/elastic.csv"),
    ("benchmarks/README.md", "benchmarks/results/screening.csv"),
    ("docs/scaling.md", "docs/results/scaling.csv"),
    ("docs/stability.md", "docs/results/stabilise-mil53.csv"),
    ("docs/stability.md", "docs/results/stabilise-mil53-fixed.csv"),
    ("docs/stability.md", "docs/results/stabilise-mof5.csv"),
]


@pytest.mark.parametrize(("document", "table"), TABLES, ids=[table for _, table in TABLES])
def test_tables_of_documents_are_those_of_their_files(document, table):
    lines = (ROOT / document).read_text().splitlines()
    with (ROOT / table).open(newline="") as file:
        rows = [f"| {' | '.join(row)} |" for row in list(csv.reader(file))[1:]]
    # Of the rows that are there more than once, each with the ruler above it may begin the table.
    starts = [k for k, line in enumerate(lines) if line == rows[0] and lines[k - 1].startswith("| ---")]
    (start,) = (k for k in starts if lines[k : k + len(rows)] == rows)
    assert not "".join(lines[start + len(rows) :][:1]).startswith("|")


@pytest.mark.parametrize("table", ["curated-mini.csv", "curated-reference.csv"])
def test_the_document_counts_curated_frameworks_as_their_table_does(table):
    with (ROOT / "docs/results" / table).open(newline="") as file:
        rows = list(csv.DictReader(file))
    left = [row for row in rows if not row["dropped"]]
    text = " ".join((ROOT / "docs/training.md").read_text().split())
    if table == "curated-mini.csv":
        assert {row["dropped"].partition(":")[0] for row in rows} == {"", "elements"}
        assert (
            f"Of the {len(rows)} published CIFs of the paper's sets, `mini` knows the elements of {len(left)}" in text
        )
        return
    systems = [f"{count} {system}" for system, count in Counter(row["crystal_system"] for row in left).most_common()]
    pores = sorted(float(row["pore_limiting_diameter"]) for row in left)
    assert f"{len(left)} of the {len(rows)} are left" in text
    assert f"They are {', '.join(systems[:-1])} and {systems[-1]}," in text
    assert f"({pores[0]:.2f} A at least, {pores[-1]:.2f} A at most)" in text


def test_the_document_tells_of_the_published_frameworks_what_their_table_has():
    with (ROOT / "docs/results/screening-mini.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["state"], row["stable"], row["imaginary_modes"], row["error"]) for row in rows} == {
        ("done", "True", "0", "")
    }
    atoms, steps = ([int(row[name]) for row in rows] for name in ("natoms", "relax_steps"))
    hours = sum(float(row[f"{step}_seconds"]) for row in rows for step in ("relax", "stabilise", "phonons")) / 3600
    changes = {row["name"].partition("-")[2]: 100 * float(row["volume_change"]) for row in rows}
    like = [row["name"].partition("-")[2] for row in rows if not row["domain"]]
    changed = {name: change for name, change in changes.items() if abs(change) > 10}
    lowest, highest = (choose(changed, key=changed.__getitem__) for choose in (min, max))
    assert max(float(row["residual_force"]) for row in rows) < 1e-6
    assert changed.keys().isdisjoint(like)
    text = " ".join((ROOT / "docs/screening.md").read_text().split())
    for told in (
        f"{len(rows)} frameworks of {min(atoms)} to {max(atoms)} atoms, {hours:.1f} hours of a core",
        f"in {min(steps)} to {max(steps)} steps ({sum(steps) / len(steps):.0f} on average) | {len(rows)} |",
        f"{sum(row['accepted_steps'] != '1' for row in rows)} of them after a step of `stabilise` | {len(rows)} |",
        f"{', '.join(like)} (MIL-53 once more) | {len(like)} |",
        f"from {changed[lowest]:.0f} % ({lowest}, which collapses) to +{changed[highest]:.0f} % ({highest});",
        f"none of these is among the four | {len(changed)} |",
    ):
        assert told in text


def test_the_table_of_the_trained_model_is_of_its_file():
    section = (ROOT / "docs/training.md").read_text().partition("## From end to end: ZIF-8")[2].partition("\n## ")[0]
    shown = [line[2:-2].split(" | ") for line in section.splitlines() if line.startswith("| ")]
    columns, _, *rows = shown
    with (ROOT / "docs/results/zif8.csv").open(newline="") as file:
        found = [[row[column] for column in columns] for row in csv.DictReader(file)]
    assert all(row in found for row in rows), [row for row in rows if row not in found]
    # Of what was learnt, of its sibling, and of all that was known before, no relative error of forces is left out.
    for row in found:
        assert row in rows or row[1] != "forces RMSE over forces rms"
