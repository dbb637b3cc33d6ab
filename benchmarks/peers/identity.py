"""What the time of a run depends on: processor, versions, source, model and structure."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from importlib.util import find_spec
from pathlib import Path

_PACKAGES = {
    "ours": ("numpy", "scipy", "phonopy", "phonors", "spglib", "ase", "torch", "e3nn", "mace-torch", "numba"),
    "stock": ("numpy", "scipy", "phonopy", "phonors", "spglib", "ase", "torch", "e3nn", "mace-torch"),
    "janus": ("numpy", "scipy", "phonopy", "phonors", "spglib", "ase", "torch", "e3nn", "mace-torch", "janus-core"),
}
_SOURCES = ("mace_mof_calc", "phonopy_mlp")
_LIST_VERSIONS = """
import json, platform, sys
from importlib.metadata import version
print(json.dumps({"python": platform.python_version(), **{name: version(name) for name in sys.argv[1:]}}))
"""


def versions(peer: str, python: Path) -> dict[str, str]:
    """Return versions of Python and of the packages that a program is made of; of ours also a digest of its source."""
    ask = [str(python), "-I", "-c", _LIST_VERSIONS, *_PACKAGES[peer]]
    found: dict[str, str] = json.loads(subprocess.run(ask, check=True, capture_output=True, text=True).stdout)
    if peer == "ours":
        found["source"] = _digest_of_source()
    return found


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def processor() -> str:
    """Return the name of the processor, with what tells apart processors of one name."""
    fields: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    name = fields.get("model name", platform.machine())
    widest = "AVX-512" if "avx512f" in fields.get("flags", "").split() else "no AVX-512"
    return f"{name}, family {fields.get('cpu family')}, model {fields.get('model')}, {widest}"


def _digest_of_source() -> str:
    """Return a digest of all modules of our packages, whether they are committed or not."""
    total = hashlib.sha256()
    for package in _SOURCES:
        spec = find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        root = Path(spec.origin).parent
        for path in sorted(root.rglob("*.py")):
            total.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()
