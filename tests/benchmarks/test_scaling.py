"""The extrapolation of a screening is what its formulas say."""

import pytest
import scaling

RUN = [
    {
        "state": "done",
        "natoms": "100",
        "relax_steps": "10",
        "evaluations": "20",
        "relax_seconds": "5",
        "stabilise_seconds": "4",
        "phonons_seconds": "2",
    },
    {"state": "failed", "natoms": "50", "relax_seconds": "9", "stabilise_seconds": "", "phonons_seconds": ""},
]
GPU = [{"evaluations alone (s)": "2", "evaluations": "20"}, {"evaluations alone (s)": "1", "evaluations": "20"}]


def test_the_table_is_what_the_measured_numbers_give(tmp_path, monkeypatch):
    kept = scaling.TABLE.read_text()
    monkeypatch.setattr(scaling, "TABLE", tmp_path / "scaling.csv")
    scaling.main()
    assert scaling.TABLE.read_text() == kept


def test_the_formulas():
    found = {each.symbol: each.value for each in scaling.extrapolate(RUN, GPU, {"worker": 0.5, "driver": 0.01})}
    assert (found["f"], found["r"], found["q"]) == pytest.approx((0.1, 0.05, 2))
    # Ten force calls, three times twenty directions, three tasks.
    assert found["t"] == pytest.approx(1 + 3 + 1.5)
    assert found["T"] == pytest.approx(20375 * 5.5 / 3600 / 100)
    assert found["D"] == pytest.approx(20375 * 3 * 0.01 / 3600)
    # Of the two, what was done of them.
    assert found["s"] == pytest.approx((11 + 9) / 2)
    assert found["b"] == pytest.approx(2 * 9 * 8 * 100**2 / 1e6)
    assert found["B"] == pytest.approx(20375 * found["b"] / 1000)
