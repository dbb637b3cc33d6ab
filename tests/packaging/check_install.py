"""Install phonopy-mlp in every promised way and look at what phonopy does: ``make test-install``.

Each of pip and uv gets a fresh environment with phonopy. There, the help of every phonopy command and the output of a
small phonopy run are recorded. Then phonopy-mlp is installed, plain and editable: ``phonopy --mlp`` must be ours,
everything recorded must repeat byte for byte, also after the uninstall, which must leave no file; and ``phonopy --mlp``
must stay ours when phonopy is installed again.
"""

import argparse
import csv
import os
import re
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONSTRAINTS = ROOT / "constraints.txt"
HOOK_FILES = {"_phonopy_mlp_hook/__init__.py", "phonopy_mlp.pth", "phonopy_mlp.start"}
CLOCK = re.compile(rb"\[time [-0-9: ]+\]")
SCRIPTS = "Scripts" if os.name == "nt" else "bin"

EXAMPLE = """
import numpy as np
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms

positions = [[0, 0, 0], [0, .5, .5], [.5, 0, .5], [.5, .5, 0], [.5, .5, .5], [.5, 0, 0], [0, .5, 0], [0, 0, .5]]
cell = PhonopyAtoms(symbols=["Na"] * 4 + ["Cl"] * 4, cell=np.eye(3) * 5.69, scaled_positions=positions)
phonon = Phonopy(cell, supercell_matrix=[2, 2, 2], primitive_matrix="F")
phonon.generate_displacements(distance=0.01)
forces = []
for displaced in phonon.supercells_with_displacements:
    shift = displaced.positions - phonon.supercell.positions
    forces.append(shift.mean(axis=0) - shift)
phonon.forces = forces
phonon.save("phonopy_params.yaml")
"""


def run(*command: object, folder: Path | None = None, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command without letting its status pass unseen by the caller."""
    outside = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PHONOPY_MLP_NO_HOOK"}
    environment = {name: value for name, value in os.environ.items() if name not in outside}
    environment |= {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"} | variables
    return subprocess.run([str(word) for word in command], capture_output=True, cwd=folder, env=environment)


def call(*command: object, **variables: str) -> str:
    """Run a command that must succeed and return its output."""
    done = run(*command, **variables)
    if done.returncode:
        sys.exit(f"failed: {' '.join(map(str, command))}\n{(done.stdout + done.stderr).decode(errors='replace')}")
    return done.stdout.decode()


def expect(condition: object, message: str) -> None:
    """End the check unless a condition holds."""
    if not condition:
        sys.exit(f"FAILED: {message}")


class Environment:
    """A virtual environment that pip or uv fills."""

    def __init__(self, root: Path, uv: Path | None) -> None:
        self.name = "uv" if uv else "pip"
        self.bin = root / SCRIPTS
        self.python = self.bin / Path(sys.executable).name
        venv.create(root, with_pip=uv is None, symlinks=os.name != "nt")
        if uv:
            self.tool: list[object] = [uv, "pip"]
            self.at: list[object] = ["--python", self.python]
            self.again = ["--reinstall-package"]
        else:
            call(self.python, "-m", "pip", "install", "-q", "-c", CONSTRAINTS, "--upgrade", "pip")
            self.tool = [self.python, "-m", "pip"]
            self.at = []
        code = "import sysconfig; print(sysconfig.get_path('purelib'))"
        self.site = Path(call(self.python, "-c", code).strip())

    def install(self, *what: object) -> None:
        """Install with the pinned versions."""
        call(*self.tool, "install", *self.at, "-q", "-c", CONSTRAINTS, *what)

    def reinstall(self, distribution: str, *what: object) -> None:
        """Install one distribution again, its dependencies untouched."""
        flags = ["--reinstall-package", distribution] if self.name == "uv" else ["--force-reinstall"]
        self.install(*flags, "--no-deps", *what)

    def uninstall(self, distribution: str) -> None:
        """Uninstall one distribution."""
        call(*self.tool, "uninstall", *self.at, "-q", *([] if self.name == "uv" else ["-y"]), distribution)

    def files(self) -> set[str]:
        """Name all files of the environment, compiled ones of phonopy_mlp alone (others come and go)."""
        names = [path.relative_to(self.site).as_posix() for path in self.site.rglob("*") if path.is_file()]
        scripts = [f"{SCRIPTS}/{path.name}" for path in self.bin.iterdir()]
        return {name for name in names if not name.endswith(".pyc") or "phonopy_mlp" in name} | set(scripts)

    def record(self) -> set[str]:
        """Name the files that the installed phonopy-mlp owns, without those that the installer adds."""
        (path,) = self.site.glob("phonopy_mlp-*.dist-info/RECORD")
        with path.open(newline="") as lines:
            names = {row[0] for row in csv.reader(lines)}
        return {name for name in names if not name.endswith(".pyc") and ".dist-info/" not in name and ".." not in name}

    def observe(self, folder: Path) -> dict[str, object]:
        """Run the help of every phonopy command and a small calculation; return all they print and write."""
        programs = sorted(path for path in self.bin.glob("phonopy*") if path.stem != "phonopy-mlp")
        commands: list[list[object]] = [[program, "--help"] for program in programs]
        commands += [
            [self.bin / "phonopy", "--mlp-params", "cutoff=7", "--help"],
            [self.bin / "phonopy", "missing.yaml"],
        ]
        with ThreadPoolExecutor(2) as pool:
            results = list(pool.map(lambda command: run(*command), commands))
        folder.mkdir()
        call(self.python, "-c", EXAMPLE, folder=folder)
        calculation = [self.bin / "phonopy", "phonopy_params.yaml", "--mesh", "5", "5", "5", "-t", "--writefc"]
        commands.append(calculation)
        results.append(run(*calculation, folder=folder))
        expect(results[-1].returncode == 0, f"phonopy itself does not run: {results[-1].stderr.decode()}")
        seen: dict[str, object] = {
            " ".join([Path(str(command[0])).name, *map(str, command[1:])]): (
                result.returncode,
                CLOCK.sub(b"", result.stdout),
                result.stderr,
            )
            for command, result in zip(commands, results, strict=True)
        }
        return seen | {path.name: path.read_bytes() for path in folder.iterdir()}


def check_ours(environment: Environment) -> None:
    """Check that ``phonopy --mlp`` reaches us, and phonopy where the variable says so."""
    phonopy = environment.bin / "phonopy"
    for options in ([], ["-I"]):
        done = run(environment.python, *options, phonopy, "--mlp", "--help")
        expect(done.returncode == 0 and b"--dry-run" in done.stdout, f"phonopy --mlp is not ours: {done}")
    done = run(phonopy, "--mlp=mini", "--help")
    expect(done.returncode == 0 and b"--dry-run" in done.stdout, f"phonopy --mlp=mini is not ours: {done}")
    done = run(phonopy, "--mlp", "--help", PHONOPY_MLP_NO_HOOK="1")
    expect(b"--dry-run" not in done.stdout, "the opt-out variable has no effect")


def check_same(before: dict[str, object], after: dict[str, object], moment: str) -> None:
    """Check that phonopy printed and wrote the same as before phonopy-mlp was there."""
    different = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    expect(not different, f"phonopy differs {moment}: {different}")


def package_files(source: Path) -> set[str]:
    """Name the files that belong into the package."""
    patterns = ("*.py", "py.typed", "page.html", "page.css", "page.js")
    kept = [path.relative_to(source) for pattern in patterns for path in source.rglob(pattern)]
    return {f"phonopy_mlp/{path.as_posix()}" for path in kept if path.parts[0] not in {"startup", "hatch_build.py"}}


def check_installer(environment: Environment, source: Path, work: Path) -> None:
    """Go through plain and editable installs with one installer."""
    requirements = tomllib.loads((source / "pyproject.toml").read_text())["project"]["dependencies"]
    environment.install(*requirements)
    # The first import says that it builds the cache of fonts.
    call(environment.python, "-c", "import matplotlib.font_manager")
    files = environment.files()
    before = environment.observe(work / f"{environment.name}-before")
    for mode, arguments in {"plain": [source], "editable": ["-e", source]}.items():
        title = f"{environment.name} {mode}"
        started = time.monotonic()
        environment.install(*arguments)
        expected = HOOK_FILES | (package_files(source) if mode == "plain" else {"_phonopy_mlp.pth"})
        expect(environment.record() == expected, f"{title} owns {environment.record() ^ expected} too many or too few")
        check_ours(environment)
        check_same(before, environment.observe(work / f"{environment.name}-{mode}"), f"after {title} install")
        environment.reinstall("phonopy", "phonopy")
        check_ours(environment)
        environment.reinstall("phonopy-mlp", *arguments)
        check_ours(environment)
        environment.uninstall("phonopy-mlp")
        left = environment.files() ^ files
        expect(not left, f"{title} uninstall left or took {sorted(left)}")
        check_same(before, environment.observe(work / f"{environment.name}-{mode}-gone"), f"after {title} uninstall")
        print(
            f"ok: {title}, {len(before)} outputs of phonopy identical ({time.monotonic() - started:.0f} s)", flush=True
        )


def check_sdist(uv: Path, source: Path, work: Path) -> None:
    """Build a source distribution and the wheel from it, and compare the wheel's list with the plain install's."""
    call(uv, "build", "-q", "--python", sys.executable, "--out-dir", work / "dist", source)
    (wheel,) = (work / "dist").glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = HOOK_FILES | package_files(source)
    expect(names == expected, f"the wheel built from the sdist has {names ^ expected} too many or too few")
    print("ok: sdist and the wheel built from it", flush=True)


def main() -> None:
    """Run all checks in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, default=ROOT / "src" / "phonopy_mlp", help="folder of phonopy-mlp")
    source = parser.parse_args().source.resolve()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        tools = Environment(work / "tools", None)
        tools.install("uv")
        uv = tools.bin / ("uv.exe" if os.name == "nt" else "uv")
        check_sdist(uv, source, work)
        check_installer(Environment(work / "pip", None), source, work)
        check_installer(Environment(work / "uv", uv), source, work)


if __name__ == "__main__":
    main()
