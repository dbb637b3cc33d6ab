"""constraints.txt pins everything that a full installation brings along."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from itertools import chain
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
OURS = {"mace-mof-calc", "phonopy-mlp"}


def read_pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def test_only_exact_public_versions():
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9._-]+==[0-9.]+([a-z]+[0-9]+)?", line), line


def test_every_dependency_is_pinned():
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    todo = [
        Requirement(text)
        for text in ["mace-mof-calc[all]", "phonopy-mlp[report,parsl,dask]", *groups["test"], *groups["lint"]]
    ]
    pins = {canonicalize_name(name): version for name, version in read_pins().items()}
    seen = set()
    missing = set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        key = (name, frozenset(requirement.extras))
        if key in seen or name.startswith(("nvidia-", "cuda-")) or name == "triton":
            continue
        seen.add(key)
        if name not in pins.keys() | OURS:
            missing.add(name)
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            continue
        if name in pins and Version(installed.version).public != pins[name]:
            continue  # make test-versions; another version needs other things
        for child in map(Requirement, installed.requires or []):
            if child.marker is None or any(
                child.marker.evaluate({"extra": extra}) for extra in ["", *requirement.extras]
            ):
                todo.append(child)
    assert not missing


def test_pins_meet_the_declared_ranges():
    pins = read_pins()
    versions = {canonicalize_name(name): version for name, version in pins.items()}
    for project in (ROOT / "pyproject.toml", ROOT / "src/phonopy_mlp/pyproject.toml"):
        declared = tomllib.loads(project.read_text())["project"]
        for text in [*declared["dependencies"], *chain(*declared["optional-dependencies"].values())]:
            requirement = Requirement(text)
            if canonicalize_name(requirement.name) not in OURS:
                assert versions[canonicalize_name(requirement.name)] in requirement.specifier
