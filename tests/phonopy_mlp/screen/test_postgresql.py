"""A screening whose database is a PostgreSQL server, started here."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from phonopy_mlp.cli.main import main
from phonopy_mlp.screen.entries import Entry
from phonopy_mlp.screen.store import Result, Store
from phonopy_mlp.screen.task import Outcome

from .conftest import LONG, OPTIONS, RELAX, make_metals, read_rows, wait_for

pytest.importorskip("ase_db_backends")
psycopg2 = pytest.importorskip("psycopg2")
SERVER, INITDB = shutil.which("postgres"), shutil.which("initdb")

WORD = "sesame"


@pytest.fixture(scope="module")
def server():
    """Return the address of a database, behind a password."""
    if SERVER is None or INITDB is None:
        pytest.skip("there is no PostgreSQL server on the path")
    # A server refuses to run as root, and a path of a socket may have a hundred characters.
    user = next((u for u in pwd.getpwall() if u.pw_name in ("postgres", "nobody")), None) if os.geteuid() == 0 else None
    other = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "word").write_text(WORD)
        if user is not None:
            shutil.chown(folder, user.pw_uid, user.pw_gid)
            shutil.chown(folder / "word", user.pw_uid, user.pw_gid)
        make = [
            INITDB,
            "-D",
            f"{name}/data",
            "-U",
            "mof",
            "-A",
            "scram-sha-256",
            "--pwfile",
            f"{name}/word",
            "--no-sync",
        ]
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL, cwd=name, **other)
        run = [SERVER, "-D", f"{name}/data", "-k", name, "-h", ""]
        process = subprocess.Popen(run, stderr=subprocess.DEVNULL, cwd=name, **other)
        address = f"postgresql://mof:{WORD}@/postgres?host={name}"
        try:
            wait_for(lambda: answers(address))
            yield address
        finally:
            process.send_signal(signal.SIGINT)  # which does not wait for those who are connected
            process.wait(timeout=LONG)


def answers(address):
    try:
        psycopg2.connect(address).close()
    except psycopg2.OperationalError:
        return False
    return True


def screen_into(database, *more):
    return main(["screen", "cifs", *OPTIONS, *RELAX, "--db", database, "--folder", "r", *more])


def test_the_server_holds_what_a_file_holds(place, server, capsys):
    make_metals(place / "cifs", "Cu", "Ni")
    assert screen_into(server) == 1
    found = read_rows(server)
    assert main(["screen", "cifs", *OPTIONS, *RELAX, "--folder", "r"]) == 1
    expected = read_rows()
    assert set(found) == set(expected) == {"Cu", "Ni"}
    for name, (atoms, values, data) in expected.items():
        assert found[name][0] == atoms
        assert found[name][1] == values
        assert found[name][2]["input"] == data["input"]
        assert found[name][2]["steps"] == data["steps"]
    # A reason may hold what a server refuses.
    outcome = Outcome("failed", "", reason="a \0 and a \udce9")
    Store(server).write(Result(Entry("odd", Path("odd\udce9.cif"), ""), {"relax": outcome}), finished=True)
    assert read_rows(server)["odd"][1]["error"] == "a \ufffd and a \ufffd"
    # Once more, and nothing is written twice; other settings are not mixed in.
    assert screen_into(server) == 1
    assert len(read_rows(server)) == 3
    capsys.readouterr()
    assert screen_into(server, "--set", "relax", "--relax-fmax 1e-4") == 2
    said = capsys.readouterr().err
    assert "has results of 'relax' that were made otherwise" in said
    assert WORD not in said
    assert screen_into(server, "--report") == 0
    assert WORD not in Path("r/screen.html").read_text()


@pytest.mark.parametrize(
    ("database", "message"),
    [
        ("postgresql://mof:sesame@host", "Database 'postgresql://host': it has no name"),
        ("", "Database '': it has no name"),
        ("results.json", "Database 'results.json': it is neither a file nor a server. Give a file *.db"),
    ],
)
def test_what_is_no_database_is_said(database, message, place, capsys):
    make_metals(place / "cifs", "Cu")
    assert main(["screen", "cifs", *OPTIONS, *RELAX, "--db", database]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert WORD not in said


def test_a_server_that_does_not_answer(place, capsys):
    make_metals(place / "cifs", "Cu")
    assert screen_into("postgresql://mof:sesame@127.0.0.1:1/screen") == 2
    said = capsys.readouterr().err
    assert "Database 'postgresql://127.0.0.1:1/screen' cannot be opened" in said
    assert WORD not in said
