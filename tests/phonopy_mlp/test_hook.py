"""The start-up hook: which command lines it takes over, and that every other one is left alone."""

import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from phonopy_mlp.force_constants import compute_force_constants, make_phonopy

STARTUP = Path(__file__).parents[2] / "src" / "phonopy_mlp" / "startup"
SITE_PACKAGES = Path(sysconfig.get_path("purelib"))
SCRIPTS = Path(sysconfig.get_path("scripts"))
# Source and place in site-packages, as hatch_build.py has it.
INSTALLED = {
    "hook.py": "_phonopy_mlp_hook/__init__.py",
    "phonopy_mlp.pth": "phonopy_mlp.pth",
    "phonopy_mlp.start": "phonopy_mlp.start",
}


@pytest.fixture
def hook():
    """The hook's module, apart from the one that this process may have loaded at its start."""
    spec = importlib.util.spec_from_file_location("hook_under_test", STARTUP / "hook.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "command",
    [
        ["/env/bin/python", "/env/bin/phonopy", "--mlp"],
        ["/env/bin/python", "/env/bin/phonopy", "MOF-5.cif", "--mlp", "mini", "--dim", "2", "2", "2"],
        ["/env/bin/python", "/env/bin/phonopy", "--mlp=mini", "MOF-5.cif"],
        ["/env/bin/python", "/env/bin/phonopy", "--mlp", "--help"],
        ["python", "bin/phonopy", "--mlp-params", "cutoff=7", "--mlp"],
        ["python", "-X", "importtime", "-W", "error", "-I", "bin/phonopy", "--mlp"],
        ["python", "-m", "cProfile", "-o", "profile.out", "bin/phonopy", "--mlp"],
        ["coverage", "run", "/env/bin/phonopy", "--mlp"],
        [r"C:\env\Scripts\python.exe", r"C:\env\Scripts\phonopy.exe", "--mlp", "mini"],
        [r"C:\env\Scripts\python.exe", r"C:\env\Scripts\PHONOPY.EXE", "--mlp=mini"],
        [r"C:\conda\python.exe", r"C:\conda\Scripts\phonopy-script.py", "--mlp"],
        [r"C:\my programs\python.exe", "C:/my programs/phonopy", "--mlp"],
    ],
)
def test_takes_over_phonopy_mlp(hook, command):
    assert hook.may_be_wanted(command)


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["/env/bin/python"],
        ["/env/bin/python", "-c", "pass", "--mlp"],
        ["/env/bin/python", "/env/bin/phonopy"],
        ["/env/bin/python", "/env/bin/phonopy", "--mlp-params", "cutoff=7"],
        ["/env/bin/python", "/env/bin/phonopy", "--mlp-params=cutoff=7", "--relax-atomic-positions"],
        ["/env/bin/python", "/env/bin/phonopy", "--mlpx", "-mlp", "mlp", "--ml", "--MLP"],
        ["/env/bin/python", "/env/bin/phonopy", "--", "--mlp"],
        ["/env/bin/python", "--mlp", "/env/bin/phonopy"],
        ["/env/bin/python", "/env/bin/phonopy-init", "--mlp"],
        ["/env/bin/python", "/env/bin/phonopy-load", "--mlp"],
        # phonopy's own program with an option of the same name.
        ["/env/bin/python", "/env/bin/phonopy-mlpsscha", "--mlp", "phonopy.pmlp"],
        ["/env/bin/python", "/env/bin/phonopy-mlp", "--mlp"],
        ["/env/bin/python", "/env/bin/phono3py", "--mlp"],
        ["/env/bin/python", "/home/phonopy/train.py", "--mlp"],
        ["/home/phonopy/bin/python", "train.py", "--mlp"],
        ["/env/bin/python", "-m", "phonopy.scripts.phonopy", "--mlp"],
        [r"C:\phonopy\python.exe", r"C:\phonopy\Scripts\phonopy-init.exe", "--mlp"],
    ],
)
def test_leaves_other_commands_alone(hook, command):
    assert not hook.may_be_wanted(command)
    assert not hook.is_wanted(command[1:])


@pytest.mark.parametrize(
    ("argv", "wanted"),
    [
        (["/env/bin/phonopy", "--mlp"], True),
        ([r"C:\env\Scripts\phonopy.exe", "x.cif", "--mlp=mini"], True),
        # Words that look like phonopy to the first look, which cannot know what the interpreter runs.
        (["-m", "--mlp"], False),
        (["/env/lib/phonopy/__main__.py", "--mlp"], False),
        (["-c", "phonopy", "--mlp"], False),
        (["compare.py", "/env/bin/phonopy", "--mlp"], False),
        ([], False),
    ],
)
def test_running_script_decides(hook, argv, wanted):
    assert hook.is_wanted(argv) is wanted


@pytest.mark.parametrize(("value", "finders"), [(None, 1), ("", 1), ("1", 0), ("yes", 0)])
def test_opt_out_variable(hook, monkeypatch, value, finders):
    monkeypatch.setattr(sys, "orig_argv", ["python", "phonopy", "--mlp"])
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.delenv("PHONOPY_MLP_NO_HOOK", raising=False)
    if value is not None:
        monkeypatch.setenv("PHONOPY_MLP_NO_HOOK", value)
    hook.install()
    hook.install()
    assert sum(isinstance(finder, hook.Finder) for finder in sys.meta_path) == finders


def test_startup_files():
    """The .pth file is one import line, and the .start file names an existing function (PEP 829)."""
    (line,) = (STARTUP / "phonopy_mlp.pth").read_text("ascii").splitlines()
    assert line.startswith("import ")
    entries = [line for line in (STARTUP / "phonopy_mlp.start").read_text("ascii").splitlines() if line[:1] != "#"]
    assert entries == ["_phonopy_mlp_hook:install"]


PHONOPY = """
def run():
    print("phonopy itself")
    return 0
"""
PHONOPY_MLP = """
import sys

def phonopy_main(argv):
    print("phonopy_mlp", argv)
    from phonopy.scripts import phonopy as imported
    import phonopy.scripts.phonopy
    assert phonopy.scripts.phonopy is imported
    phonopy.scripts.phonopy.run()
    print(sorted(type(finder).__module__ for finder in sys.meta_path if "hook" in type(finder).__module__))
    return 7
"""
SCRIPT = """
import sys
from phonopy.scripts.phonopy import run
if __name__ == "__main__":
    sys.exit(run())
"""


class Environment:
    """A bare virtual environment with stand-ins for phonopy and phonopy_mlp and the real start-up files."""

    def __init__(self, root: Path) -> None:
        venv.create(root, symlinks=os.name != "nt")
        variables = {"base": str(root), "platbase": str(root)}
        self.python = Path(sysconfig.get_path("scripts", "venv", variables)) / Path(sys.executable).name
        self.site = Path(sysconfig.get_path("purelib", "venv", variables))
        self.script = self.python.parent / "phonopy"
        self.script.write_text(SCRIPT)
        self.write("phonopy/__init__.py")
        self.write("phonopy/scripts/__init__.py")
        self.write("phonopy/scripts/phonopy.py", PHONOPY)
        self.write("phonopy-4.10.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: phonopy\nVersion: 4.10.0\n")
        self.write_entry_point("phonopy.scripts.phonopy:run")
        self.write("phonopy_mlp/__init__.py")
        self.write("phonopy_mlp/cli/__init__.py")
        self.write("phonopy_mlp/cli/main.py", PHONOPY_MLP)
        for source, target in INSTALLED.items():
            self.write(target, (STARTUP / source).read_text())

    def write(self, name: str, text: str = "") -> None:
        (self.site / name).parent.mkdir(parents=True, exist_ok=True)
        (self.site / name).write_text(text)

    def write_entry_point(self, reference: str) -> None:
        self.write("phonopy-4.10.0.dist-info/entry_points.txt", f"[console_scripts]\nphonopy = {reference}\n")

    def remove(self, name: str) -> None:
        (self.site / name).unlink()

    def run(self, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.python), *map(str, arguments)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}
        return subprocess.run(command, capture_output=True, text=True, env=environment | variables, timeout=60)


@pytest.fixture
def environment(tmp_path):
    return Environment(tmp_path / "env")


PLAIN = (0, "phonopy itself\n", "")
HANDED_OVER = "phonopy_mlp ['--mlp', 'x.cif']\nphonopy itself\n[]\n"


def test_hands_over_and_gives_phonopy_back(environment):
    """The arguments and the exit status pass through, and afterwards phonopy's module is phonopy's again."""
    done = environment.run(environment.script, "--mlp", "x.cif")
    assert (done.returncode, done.stdout, done.stderr) == (7, HANDED_OVER, "")


@pytest.mark.parametrize("options", [["-I"], ["-X", "utf8", "-W", "error"], ["-m", "cProfile", "-o", os.devnull]])
def test_interpreter_options_and_wrappers(environment, options):
    done = environment.run(*options, environment.script, "--mlp", "x.cif")
    assert HANDED_OVER in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [([], {}), (["--mlp-params", "x"], {}), (["--", "--mlp"], {}), (["--mlp"], {"PHONOPY_MLP_NO_HOOK": "1"})],
)
def test_leaves_phonopy_alone(environment, arguments, variables):
    done = environment.run(environment.script, *arguments, **variables)
    assert (done.returncode, done.stdout, done.stderr) == PLAIN


def test_half_uninstalled(environment):
    (environment.site / "phonopy_mlp").rename(environment.site / "removed")
    done = environment.run(environment.script, "--mlp")
    assert (done.returncode, done.stdout, done.stderr) == PLAIN
    environment.remove("_phonopy_mlp_hook/__init__.py")
    done = environment.run(environment.script, "--mlp")
    assert (done.returncode, done.stdout, done.stderr) == PLAIN


def test_program_named_by_phonopys_metadata(environment):
    """A later phonopy may move its program; its metadata says where to."""
    (environment.site / "phonopy/scripts/phonopy.py").rename(environment.site / "phonopy/command.py")
    environment.write_entry_point("phonopy.command:start")
    environment.script.write_text("import sys\nfrom phonopy.command import start\nsys.exit(start())\n")
    environment.write("phonopy_mlp/cli/main.py", "def phonopy_main(argv):\n    print(argv)\n    return 0\n")
    done = environment.run(environment.script, "--mlp=mini")
    assert (done.returncode, done.stdout, done.stderr) == (0, "['--mlp=mini']\n", "")


def test_odd_metadata_leaves_phonopy_running(environment):
    environment.remove("phonopy-4.10.0.dist-info/entry_points.txt")
    done = environment.run(environment.script, "--mlp")
    assert (done.returncode, done.stdout, done.stderr) == (0, "phonopy itself\n", "")


def test_start_file_and_import_line_together(environment):
    """A Python that runs both, or reads the folder twice, hands over once."""
    environment.write(
        "sitecustomize.py",
        "import pkgutil, site\n"
        "pkgutil.resolve_name('_phonopy_mlp_hook:install')()\n"
        f"site.addsitedir({str(environment.site)!r}, set())\n",
    )
    done = environment.run(environment.script, "--mlp", "x.cif")
    assert (done.returncode, done.stdout, done.stderr) == (7, HANDED_OVER, "")


def test_nothing_is_imported_for_other_programs(environment):
    program = "import sys; print([name for name in sys.modules if 'mlp' in name])"
    for arguments in ([], ["--mlp"], ["phonopy", "--dim"]):
        assert environment.run("-c", program, *arguments).stdout == "[]\n"


# phonopy prints the time of day.
CLOCK = re.compile(rb"\[time [-0-9: ]+\]")


def run_installed(program: str, *arguments: str, **variables: str) -> tuple[int, bytes, bytes]:
    environment = os.environ | {"PHONOPY_MLP_NO_HOOK": "", "OMP_NUM_THREADS": "1"} | variables
    done = subprocess.run([SCRIPTS / program, *arguments], capture_output=True, env=environment, timeout=120)
    return done.returncode, CLOCK.sub(b"", done.stdout), done.stderr


def test_installed_copy_is_current():
    """An editable install copies these three files: after a change of them, install again."""
    for source, target in INSTALLED.items():
        assert (SITE_PACKAGES / target).read_text() == (STARTUP / source).read_text()


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("phonopy", ["--help"]),
        ("phonopy", ["no-such-file.yaml"]),
        ("phonopy", ["--mlp-params", "cutoff=7", "--help"]),
        ("phonopy-init", ["--help"]),
        ("phonopy-mlpsscha", ["--mlp", "x.pmlp", "--help"]),
    ],
)
def test_plain_phonopy_is_unchanged(program, arguments):
    assert run_installed(program, *arguments) == run_installed(program, *arguments, PHONOPY_MLP_NO_HOOK="1")


def test_a_real_run_of_plain_phonopy_writes_the_same_files(tmp_path, monkeypatch):
    written = []
    for name, value in (("with", ""), ("without", "1")):
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.chdir(folder)
        phonon = make_phonopy(bulk("Cu", cubic=True), np.diag([2, 2, 2]))
        compute_force_constants(phonon, EMT()).phonon.save("phonopy_params.yaml", settings={"force_constants": False})
        arguments = ["phonopy_params.yaml", "--mesh", "5", "5", "5", "-t", "--writefc"]
        status, out, error = run_installed("phonopy", *arguments, PHONOPY_MLP_NO_HOOK=value)
        assert status == 0, error
        written.append((out, error, {path.name: path.read_bytes() for path in folder.iterdir()}))
    assert {"FORCE_CONSTANTS", "mesh.yaml", "thermal_properties.yaml", "phonopy.yaml"} <= set(written[0][2])
    assert written[0] == written[1]


def test_installed_phonopy_mlp_is_ours():
    status, out, _ = run_installed("phonopy", "--mlp", "--help")
    assert status == 0
    assert b"--dry-run" in out
    plain = run_installed("phonopy", "--mlp", "--help", PHONOPY_MLP_NO_HOOK="1")
    assert b"--dry-run" not in plain[1]
