"""A browser, where there is one."""

import shutil
import subprocess
from pathlib import Path

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")


def open_page(page: Path, profile: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Open a page in a browser without a window, whose output is the page as it is after its scripts."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"no browser was found: none of {', '.join(BROWSERS)} is on the path")
    return subprocess.run(
        [
            *(browser, "--headless", "--no-sandbox", "--enable-unsafe-swiftshader", "--disable-dev-shm-usage"),
            *(f"--user-data-dir={profile}", *options, "--dump-dom", page.as_uri()),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
