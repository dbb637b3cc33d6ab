"""The table of the published frameworks has what the database of their screening has."""

import published
from ase.build import bulk
from ase.db import connect


def test_a_row_of_the_table_is_that_of_the_database(tmp_path):
    database = connect(tmp_path / "r.db")
    database.write(bulk("Cu"), name="good", state="done", relax_steps=3, relax_seconds=0.5)
    database.write(bulk("Cu"), name="bad", state="failed", failed_step="relax", error="Too long")
    good, bad = map(published.describe, database.select())
    assert list(good) == list(bad) == ["name", "formula", "natoms", *published.KEYS]
    assert (good["name"], good["natoms"], good["relax_steps"], good["error"]) == ("good", 1, 3, "")
    assert (bad["failed_step"], bad["error"], bad["relax_steps"]) == ("relax", "Too long", "")


def test_the_frameworks_are_those_whose_elements_the_model_has():
    known = list(published.find_known())
    assert "curated127/MOF-5" in known
    assert len(known) == len(set(known))
