"""The page on a screening."""

import re

from ase.build import bulk, molecule
from ase.io import write
from browsers import open_page

from phonopy_mlp.cli.main import main
from phonopy_mlp.screen.entries import Entry
from phonopy_mlp.screen.page import write_page
from phonopy_mlp.screen.store import Result, Store
from phonopy_mlp.screen.task import Outcome

from .conftest import OPTIONS, make_metals, relax, screen


def test_a_page_has_a_row_for_each_and_links_to_reports(place, capsys):
    make_metals(place / "cifs", "Cu", "Al")
    (place / "cifs" / "<b>.cif").write_text("nonsense")
    assert screen() == 1
    (place / "r" / "tasks" / "Cu" / "phonons" / "report.html").touch()
    capsys.readouterr()
    assert main(["screen", *OPTIONS, "--report"]) == 0
    assert "Report: r/screen.html" in capsys.readouterr().out
    page = (place / "r" / "screen.html").read_text()
    assert page.count("<tr>") == 4
    assert page.count('href="tasks/Cu/phonons/report.html"') >= 2  # in the table, and on a point of a plot
    assert "tasks/Al/phonons/report.html" not in page
    assert "<span>done</span><b>2</b>" in page
    assert "<b>.cif" not in page
    assert page.count("<svg") == 3  # no bulk moduli
    rows = list(Store("r.db").rows())
    assert len(rows) == 3


def fill(folder, steps):
    """Write a database of copper in cells of different sizes, by names."""
    store = Store(str(folder / "r.db"))
    for k, (name, outcomes) in enumerate(steps.items()):
        write(folder / f"{name}.cif", bulk("Cu") * (k + 1, 1, 1))
        store.write(Result(Entry(name, folder / f"{name}.cif", ""), outcomes), finished=True)
    return store


def test_a_structure_without_a_cell_does_not_spoil_the_page(place):
    make_metals(place / "cifs", "Cu")
    write(place / "cifs" / "water.xyz", molecule("H2O"))
    assert relax() == 1
    assert main(["screen", *OPTIONS, "--report"]) == 0
    assert "water" in (place / "r" / "screen.html").read_text()


def test_a_report_that_is_of_another_result_is_not_linked(tmp_path):
    done, failed = {"phonons": Outcome("done", "")}, {"phonons": Outcome("failed", "", "why")}
    store = fill(tmp_path, {"good": done, "bad": failed})
    for name in ("good", "bad"):
        (tmp_path / "tasks" / name / "phonons").mkdir(parents=True)
        (tmp_path / "tasks" / name / "phonons" / "report.html").touch()
    page = write_page(store, tmp_path / "screen.html").read_text()
    assert "tasks/good/phonons/report.html" in page
    assert "tasks/bad/phonons/report.html" not in page


def test_a_heading_sorts_the_table(tmp_path):
    lowest = {"b": -0.5, "c": 10.0, "a": 9.0}
    steps = {
        name: {"phonons": Outcome("done", "", values={"phonon_lowest_frequency": value})}
        for name, value in lowest.items()
    }
    steps["d"] = {"phonons": Outcome("failed", "", "why")}
    page = write_page(fill(tmp_path, steps), tmp_path / "screen.html")
    text = page.read_text()
    titles = re.findall(r"<th><button>(.*?)</button></th>", text)

    def order(title, clicks):
        click = f"document.querySelectorAll('#structures thead button')[{titles.index(title)}].click();"
        clicked = tmp_path / "clicked.html"
        clicked.write_text(text.replace("</body>", f"<script>{click * clicks}</script></body>"))
        done = open_page(clicked, tmp_path / "profile")
        table = done.stdout.partition("<tbody>")[2].partition("</tbody>")[0]
        return re.findall(r"<tr><td[^>]*>([abcd])</td>", table)

    assert order("Structure", 1) == ["a", "b", "c", "d"]
    assert order("Structure", 2) == ["d", "c", "b", "a"]
    # As numbers, and what has none comes last.
    frequency = next(title for title in titles if "owest" in title)
    assert order(frequency, 1) == ["b", "a", "c", "d"]
    assert order(frequency, 2) == ["c", "a", "b", "d"]
