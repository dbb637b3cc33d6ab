"""What is said of symmetrix where it is not built."""

from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import symmetrix_quoted

README = Path(__file__).parents[2] / "benchmarks" / "README.md"


def test_the_table_is_quoted_whole_where_symmetrix_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symmetrix_quoted, "find_spec", lambda name: None)
    text = symmetrix_quoted.quote_symmetrix()
    assert "not measured here" in text
    rows = [line for line in text.splitlines() if line.startswith("|")][2:]
    assert len(rows) == 7
    assert "| symmetrix | 0.18 (11x) | 1.41 (16x) | 3.0 GB |" in rows
    assert all(row in README.read_text(encoding="utf-8") for row in rows)


def test_nothing_is_quoted_where_symmetrix_can_be_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symmetrix_quoted, "find_spec", lambda name: ModuleSpec(name, None))
    assert symmetrix_quoted.quote_symmetrix() == ""
