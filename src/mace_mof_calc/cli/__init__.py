"""Command line of mace-mof-calc."""

from .main import main

__all__ = ["main"]
