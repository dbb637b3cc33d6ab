"""Progress bars."""

import os
import subprocess
import sys
import threading
from contextlib import contextmanager, redirect_stderr, suppress

import pytest
from ase.build import bulk
from ase.io import write

from phonopy_mlp.cli.main import main
from phonopy_mlp.cli.progress import RelaxationBar, bar, print_line

pty, termios = (pytest.importorskip(name, reason="pseudo-terminals are POSIX's") for name in ("pty", "termios"))


@pytest.fixture(autouse=True)
def _place(registered, workdir):
    write("bcc.cif", bulk("Cu", "bcc", a=2.9, cubic=True))
    write("hcp.cif", bulk("Cu", "hcp", a=2.55, c=4.1))


@contextmanager
def terminal():
    """Put a terminal in the place of stderr; give a list that has what was written to it in the end."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 120))
    parts: list[bytes] = []

    def read():
        # Once the other side is closed Linux answers with an error, and other systems with nothing.
        with suppress(OSError):
            while part := os.read(ours, 1024):
                parts.append(part)

    reader = threading.Thread(target=read)
    reader.start()
    told: list[str] = []
    with os.fdopen(theirs, "w") as stream, redirect_stderr(stream):
        yield told
    reader.join()
    os.close(ours)
    told += b"".join(parts).decode().split("\r")


def test_a_relaxation_is_half_done_at_half_the_decades_and_the_next_one_begins_anew():
    with RelaxationBar(1e-6) as show:
        shown = []
        for step, force in ((1, 1.0), (2, 1e-3), (3, 1e-2), (4, 1e-6), (1, 1e-2), (2, 1e-4)):
            show(step, force)
            shown.append(show.percent)
    assert shown == [0, 50, 50, 100, 0, 50]


def test_a_relaxation_tells_step_force_goal_and_the_time_so_far():
    with terminal() as told, RelaxationBar(1e-6) as show:
        show(7, 1.0)
        show(8, 1e-3)
    assert any(line.startswith("Relaxation:  50%|") for line in told)
    assert any(line.endswith("| 00:00, step 8, 1.0e-03 to 1e-06 eV/A") for line in told)


def test_a_line_goes_above_the_bars():
    with terminal() as told:
        for _ in bar(range(2), 2, "Work"):
            print_line("Said.", sys.stderr)
    place = told.index("Said.")
    assert told[place - 1].strip() == ""  # the bar was wiped out before
    assert told[place + 1].startswith("\n")
    assert any(line.startswith("Work:") for line in told[:place])
    assert any(line.startswith("Work:") for line in told[place + 2 :])


SQUARE = "stabilise bcc.cif --dim 2 2 2 --relax-cell fixed --stabilise-rounds 1 --stabilise-methods"
SMALL = "Cu.cif --dim 1 1 1 --mesh 3 3 3"
LONG = {
    "relax": ("relax Cu.cif", ["Relaxation"]),
    "run": ("run Cu.cif --dim 2 2 2 --mesh 3 3 3 --figure x.png", ["Forces of supercells", "Density of states"]),
    "follow": (f"{SQUARE} follow", ["Relaxation", "Forces of supercells", "Modes followed"]),
    "dynamics": (f"{SQUARE} md", ["Relaxation", "Forces of supercells", "Molecular dynamics"]),
    "eos": ("eos hcp.cif", ["Energies at fixed volumes", "Relaxation"]),
    "elastic": ("elastic Cu.cif --relax", ["Relaxation", "Stresses of strained cells"]),
    "qha": (f"qha {SMALL} --qha-strain 0.004", ["Relaxation", "Volumes", "Volumes added, at most"]),
    "lengths": (f"qha {SMALL} --qha-lengths -0.01 0 0.01 0.02", ["Relaxation", "Lattices"]),
    "tensor": (f"qha {SMALL} --relax --qha-tensor", ["Relaxation", "Stresses of strained cells", "Strained cells"]),
    "sscha": (f"sscha {SMALL} --sscha 2 --sscha-snapshots 3", ["Iterations", "Forces of supercells"]),
    "committee": (f"committee {SMALL} --committee twice", ["Relaxation", "Forces of supercells"]),
}


def command(case: str) -> int:
    name, *options = LONG[case][0].split()
    return main([name, "--mlp", "emt", *options])


@pytest.mark.parametrize("case", LONG)
def test_what_may_take_long_has_a_bar(case):
    with terminal() as told:
        assert command(case) == 0
    for label in LONG[case][1]:
        assert any(line.startswith(f"{label}:") for line in told), label


@pytest.mark.parametrize("case", ["relax", "follow", "qha", "sscha"])
def test_without_a_terminal_there_are_no_bars(case, capfd):
    assert command(case) == 0
    captured = capfd.readouterr()
    for text in (captured.out, captured.err):
        assert "\r" not in text
        assert "%|" not in text


def test_in_a_pipe_a_quiet_command_says_nothing():
    code = "import sys; from phonopy_mlp.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "relax", "--mlp", "emt", "Cu.cif", "-q"]
    path = os.pathsep.join(filter(None, [os.environ["PYTHONPATH"], *sys.path]))
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
