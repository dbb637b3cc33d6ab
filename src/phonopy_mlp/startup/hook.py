"""Hand ``phonopy --mlp`` over to phonopy_mlp.

Python's start-up (``phonopy_mlp.pth``, or ``phonopy_mlp.start`` where Python reads it) calls `install` before any
script runs. At that moment neither ``sys.argv`` nor every path entry need exist, so nothing runs yet: a finder is put
on ``sys.meta_path`` and waits for the one import that phonopy's console script makes (``from phonopy.scripts.phonopy
import run``). That import gets a stand-in module with the same function, which calls phonopy_mlp; finder and stand-in
remove themselves, so that every later import of phonopy is phonopy's own.

It is installed as ``_phonopy_mlp_hook``, beside the package: a look at the arguments must not import the package, and
an import that fails here would print a traceback whenever Python starts.
"""

import os
import sys

# typing is not imported for it: newer Pythons load this file at every start.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

OPT_OUT = "PHONOPY_MLP_NO_HOOK"
PROGRAM_NAMES = frozenset({"phonopy", "phonopy.exe", "phonopy-script.py"})

# A folder's .pth files can be read more than once in a process (site.addsitedir).
installed = False


def is_phonopy(path: str) -> bool:
    """Tell whether a path names phonopy's main program, as any installer writes it; ``phonopy-init`` is not it."""
    return path.replace("\\", "/").rpartition("/")[2].lower() in PROGRAM_NAMES


def has_mlp(arguments: "Sequence[str]") -> bool:
    """Tell whether ``--mlp`` or ``--mlp=...`` is among the options; ``--mlp-params`` is phonopy's own."""
    for argument in arguments:
        if argument == "--":
            return False
        if argument == "--mlp" or argument.startswith("--mlp="):
            return True
    return False


def may_be_wanted(orig_argv: "Sequence[str]") -> bool:
    """Tell from ``sys.orig_argv``, all there is at start-up, whether this may become ``phonopy --mlp``.

    The interpreter, its options, and perhaps a profiler or debugger precede the script, so the first word that names
    phonopy counts. `is_wanted` decides once the script runs.
    """
    for index, word in enumerate(orig_argv):
        if is_phonopy(word):
            return has_mlp(orig_argv[index + 1 :])
    return False


def is_wanted(argv: "Sequence[str]") -> bool:
    """Tell from ``sys.argv`` whether the running script is ``phonopy --mlp``."""
    return bool(argv) and is_phonopy(argv[0]) and has_mlp(argv[1:])


class StandIn:
    """Loader of the module that answers the console script's import."""

    def __init__(self, function: str) -> None:
        self.function = function

    def create_module(self, spec: "ModuleSpec") -> None:
        """Leave the making of the module to Python."""

    def exec_module(self, module: "ModuleType") -> None:
        """Give the module its one function."""

        def run() -> None:
            parent, _, child = module.__name__.rpartition(".")
            del sys.modules[module.__name__]
            delattr(sys.modules[parent], child)

            from phonopy_mlp.cli.main import phonopy_main

            sys.exit(phonopy_main(sys.argv[1:]))

        setattr(module, self.function, run)


class Finder:
    """Wait for the import of phonopy's program and answer it, once."""

    def __init__(self) -> None:
        self.program: tuple[str, str] | None = None

    def find_spec(self, name: str, path: object = None, target: object = None) -> "ModuleSpec | None":
        """Answer the import of phonopy's program, and leave every other module to Python."""
        if not name.startswith("phonopy."):
            return None
        try:
            return self.answer(name)
        except Exception:
            # Odd metadata must not harm the program that is starting: phonopy then rejects --mlp in its own words.
            self.leave()
            return None

    def answer(self, name: str) -> "ModuleSpec | None":
        """Return the stand-in's specification if ``name`` is the module that the running script needs."""
        from importlib.machinery import ModuleSpec
        from importlib.metadata import distribution
        from importlib.util import find_spec

        if self.program is None:
            (script,) = distribution("phonopy").entry_points.select(group="console_scripts", name="phonopy")
            self.program = script.module, script.attr
        module, function = self.program
        if name != module:
            return None
        self.leave()
        if not is_wanted(sys.argv) or find_spec("phonopy_mlp") is None:
            return None
        # Python asks a loader for these two methods only; importlib.abc.Loader would cost an import at every start.
        return ModuleSpec(name, StandIn(function))  # type: ignore[arg-type]

    def leave(self) -> None:
        """Take the finder off ``sys.meta_path``."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)


def install() -> None:
    """Put the finder in place if this process may be ``phonopy --mlp``; otherwise, and the second time, do nothing."""
    global installed
    if not installed and may_be_wanted(sys.orig_argv) and not os.environ.get(OPT_OUT):
        installed = True
        sys.meta_path.insert(0, Finder())
