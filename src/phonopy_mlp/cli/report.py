"""``phonopy-mlp report``: a page on a finished run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from phonopy_mlp.errors import SettingsError
from phonopy_mlp.files import alone, exists
from phonopy_mlp.output import REPORT_FILE
from phonopy_mlp.report.page import FIGURES_FOLDER, write_report


def run(argv: Sequence[str]) -> int:
    """Make reports of the folders that are named, and return the exit status.

    Raises
    ------
    PhonopyMlpError
        A folder is not there or holds no finished run, or cannot be written.

    """
    own = make_parser().parse_args(argv)
    for folder in own.folders:
        if not (exists(folder) and folder.is_dir()):
            raise SettingsError(f"Folder '{folder}' was not found", "there is no such folder", "Check the name")
        with alone(folder):
            report = write_report(folder)
        if not own.quiet:
            print(f"Report: {report}", flush=True)
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(
        prog="phonopy-mlp report",
        description=f"Write {REPORT_FILE}, one page that needs no network, and its figures in {FIGURES_FOLDER}, from "
        "the files of a finished run or of single steps.",
        allow_abbrev=False,
    )
    parser.add_argument("folders", nargs="*", type=Path, default=[Path()], metavar="FOLDER", help="default: this one")
    parser.add_argument("-q", "--quiet", action="store_true", help="print warnings and errors alone")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser
