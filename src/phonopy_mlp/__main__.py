"""``python -m phonopy_mlp``, for launchers that take a module."""

import sys

from phonopy_mlp.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
