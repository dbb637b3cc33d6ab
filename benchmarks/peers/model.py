"""Write the model of a comparison to a ``.model`` file, as mace's trainer would, as a program of its own."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from production import production_module

from mace_mof_calc.backend import jit_without_warning
from mace_mof_calc.models.loading import load


def main() -> None:
    """Write the production architecture with seeded random weights, or a model that the package can load."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="'production', a registered name, or the path of a model file")
    parser.add_argument("path", type=Path)
    options = parser.parse_args()
    module = production_module() if options.model == "production" else load(options.model).module
    with jit_without_warning():
        torch.save(module, options.path)


if __name__ == "__main__":
    main()
