"""How much the hunt for hard cases tries, and a count of it.

`make test` tries a little. `make hunt` tries HUNT times as much, and writes the counts to docs/results/hunt.csv.
"""

import csv
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from .calculators import register

FACTOR = int(os.environ.get("HUNT", "1"))

SEED = int(os.environ.get("HUNT_SEED", "0"))
"""Of what is damaged by chance; hypothesis has the same by its own option."""

EXAMPLES = 5 if FACTOR == 1 else 10 * FACTOR
"""That hypothesis tries of each property."""

settings.register_profile(
    "hunt",
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=FACTOR == 1,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("hunt")

_COUNTS = pytest.StashKey[Counter]()


def pytest_report_header():
    return f"hunt: {FACTOR} times as much as make test, seed {SEED}"


def pytest_configure(config):
    config.stash[_COUNTS] = Counter()


@pytest.fixture(scope="session")
def tally(request) -> Callable[[str, str], None]:
    """Return what counts one case, of a kind and of a subject: ``tally("fuzz", "task.json")``."""

    def count(kind: str, subject: str) -> None:
        request.config.stash[_COUNTS][kind, subject] += 1

    return count


@pytest.fixture(scope="module")
def calculators(tmp_path_factory):
    """Let commands know effective medium theory, and one that is stiffer."""
    with pytest.MonkeyPatch.context() as patch:
        register(tmp_path_factory.mktemp("site"), patch)
        yield


@pytest.fixture
def fresh(tmp_path) -> Callable[[], Path]:
    """Return what makes an empty folder, for each example its own."""
    return lambda: Path(tempfile.mkdtemp(dir=tmp_path))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """Add what a process of pytest-xdist has counted."""
    for kind, subject, count in getattr(node, "workeroutput", {}).get("hunt", []):
        node.config.stash[_COUNTS][kind, subject] += count


def pytest_sessionfinish(session, exitstatus):
    counts = session.config.stash[_COUNTS]
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["hunt"] = [[*key, count] for key, count in counts.items()]
        return
    if (where := os.environ.get("HUNT_CSV")) is None or exitstatus != 0:
        return
    with Path(where).open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["kind", "subject", "cases"])
        skipped = session.config.pluginmanager.get_plugin("terminalreporter").stats.get("skipped", [])
        rows.writerows([("hunt", "seed", SEED), ("hunt", "factor", FACTOR), ("hunt", "skipped tests", len(skipped))])
        rows.writerows((*key, count) for key, count in sorted(counts.items()))
