"""The extrapolation of a screening is what its formulas say."""

import csv

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
    {
        "state": "done",
        "natoms": "100",
        "relax_steps": "10",
        "evaluations": "10",
        "relax_seconds": "5",
        "stabilise_seconds": "3",
        "phonons_seconds": "1.5",
    },
    {"state": "failed", "natoms": "50", "relax_seconds": "9", "stabilise_seconds": "", "phonons_seconds": ""},
]
GPU = [{"evaluations alone (s)": "2", "evaluations": "20"}, {"evaluations alone (s)": "1", "evaluations": "20"}]


def test_the_table_is_what_the_measured_numbers_give(tmp_path, monkeypatch):
    kept = scaling.TABLE.read_text()
    monkeypatch.setattr(scaling, "TABLE", tmp_path / "scaling.csv")
    scaling.main()
    assert scaling.TABLE.read_text() == kept


def test_the_document_tells_what_the_table_has():
    with scaling.TABLE.open(newline="") as file:
        values = {row["symbol"]: float(row["value"]) for row in csv.DictReader(file)}
    told = f"some {values['T']:.1f} hours to do, in which the driver works {values['D']:.2g}."
    assert told in (scaling.DOCS.parent / "scaling.md").read_text()


def test_the_document_tells_what_was_measured_of_screenings():
    text = " ".join((scaling.RESULTS.parent / "README.md").read_text().split())
    with (scaling.RESULTS / "screening.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    overheads = {name: 1e3 * seconds for name, seconds in scaling._read_overheads().items()}
    memory = [float(row["driver_MiB"]) for row in rows if row["measured"] == "memory"]
    wall = {(row["workers"], row["cores"]): float(row["wall_s"]) for row in rows if row["measured"] == "workers"}
    own = next(float(row["tasks_s"]) / 220 for row in rows if row["structures"] == "220")
    for told in (
        f"its whole command, {own:.2f} s for the one atom of copper",
        f"A task more takes {overheads['worker']:.1f} ms besides its own time (less than 50 were asked for)",
        f"and {overheads['driver']:.1f} ms of the driver's processor",
        f"{memory[0]:.0f} MiB with 10 structures and {memory[-1]:.0f} with 10,000",
        f"Two workers on two cores are {wall['1', '1'] / wall['2', '2']:.2f} times as fast as one on one core",
        f"and {wall['1', '2'] / wall['2', '2']:.2f} times as fast as one with two threads",
    ):
        assert told in text


def test_the_formulas():
    found = {each.symbol: each.value for each in scaling.extrapolate(RUN, GPU, {"worker": 0.5, "driver": 0.01})}
    assert (found["f"], found["r"], found["q"]) == pytest.approx((0.1, 0.05, 2))
    # Half of the directions take half a second less.
    assert found["p"] == pytest.approx(1)
    # Ten force calls, three times fifteen directions and what comes with them, three tasks.
    assert found["t"] == pytest.approx(1 + 3 * (0.75 + 1) + 1.5)
    assert found["T"] == pytest.approx(20375 * 7.75 / 3600 / 100)
    assert found["D"] == pytest.approx(20375 * 3 * 0.01 / 3600)
    # Of the three, what was done of them.
    assert found["s"] == pytest.approx((11 + 9.5 + 9) / 3)
    assert found["b"] == pytest.approx(2 * 9 * 8 * 100**2 / 1e6)
    assert found["B"] == pytest.approx(20375 * found["b"] / 1000)
