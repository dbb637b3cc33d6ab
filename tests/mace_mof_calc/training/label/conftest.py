"""Calculators that fail, by name, in this process and in those that it starts."""

import labellers
import pytest


@pytest.fixture
def registered(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("distribution")
    labellers.register(folder)
    monkeypatch.syspath_prepend(str(folder))
    return folder
