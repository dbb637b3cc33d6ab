"""Build hook: file this folder's modules under ``phonopy_mlp/``, and the start-up hook beside it, in site-packages."""

from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# A package of its own for the hook's one module: uv leaves the bytecode of a module at the top of site-packages behind.
STARTUP = {
    "startup/hook.py": "_phonopy_mlp_hook/__init__.py",
    "startup/phonopy_mlp.pth": "phonopy_mlp.pth",
    "startup/phonopy_mlp.start": "phonopy_mlp.start",
}
# What the package holds; files that it reads at run time need a pattern here.
PACKAGED = ("*.py", "py.typed", "page.*")


class FileLayout(BuildHookInterface[BuilderConfig]):
    """Name the wheel's files: hatchling's options cannot put this folder's name before some files and not others."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Map each file to its place in site-packages; an editable install needs the start-up files alone."""
        root = Path(self.root)
        startup = {str(root / source): target for source, target in STARTUP.items()}
        if version == "editable":
            build_data["force_include_editable"] = startup
            return
        folders = [init.parent for init in sorted(root.rglob("__init__.py"))]
        files = [path for folder in folders for pattern in PACKAGED for path in sorted(folder.glob(pattern))]
        names = [path.relative_to(root).as_posix() for path in files]
        package = {str(root / name): f"phonopy_mlp/{name}" for name in names if name != "hatch_build.py"}
        build_data["force_include"] = package | startup
