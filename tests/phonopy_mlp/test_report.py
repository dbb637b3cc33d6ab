"""Reports: what they say, against the files they are made from; and that they open in a browser."""

import base64
import gzip
import html
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import bulk
from ase.io import write
from browsers import open_page
from rewriting import TURN, rewritten

from phonopy_mlp.cli.main import main
from phonopy_mlp.elasticity import tensor
from phonopy_mlp.errors import SettingsError
from phonopy_mlp.files import alone
from phonopy_mlp.report import assets
from phonopy_mlp.report.chart import Curve, draw_chart
from phonopy_mlp.report.markup import details, facts, nested, table
from phonopy_mlp.report.page import FORMATS, write_report
from phonopy_mlp.report.sections.bands import plain_label
from phonopy_mlp.report.sections.elastic import young_surface
from phonopy_mlp.report.sections.structure import same_cell

HOSTILE = "<script>alert(1)$\\frac$<_script>.cif"
STABLE = (
    "run --mlp emt Cu.cif --relax --stabilise --dim 2 2 2 --mesh 5 5 5 --tmax 300 -t -q --eos --elastic "
    "--elastic-method both --qha --sscha 2 --sscha-snapshots 4 --sscha-temperatures 100 300 "
    "--committee twice --committee-eos --committee-qha --report"
)
UNSTABLE = ["run", "--mlp", "emt", "--relax", "--fix-symmetry", "--dim", "2", "2", "2", "--mesh", "5", "5", "5", "-q"]


@pytest.fixture(scope="module")
def runs(distribution, tmp_path_factory):
    """Folders of two finished runs with reports: copper, and unstable copper under a name that is a script."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(distribution))
        stable, unstable = tmp_path_factory.mktemp("stable"), tmp_path_factory.mktemp("unstable")
        patch.chdir(stable)
        write("Cu.cif", bulk("Cu"))
        assert main(STABLE.split()) == 0
        patch.chdir(unstable)
        write(HOSTILE, bulk("Cu", "bcc", a=2.85), format="cif")
        assert main([*UNSTABLE, HOSTILE]) == 0
        assert main(["report"]) == 0
    return stable, unstable


@pytest.fixture
def one_format(registered, monkeypatch):
    """Let figures be drawn once: the formats are those of `runs`."""
    monkeypatch.setattr("phonopy_mlp.report.page.FORMATS", ("png",))


def command(line: str) -> int:
    return main(line.split())


def page_of(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def data_of(page: str) -> dict:
    return json.loads(unpacked(page, "data"))


def unpacked(page: str, name: str) -> str:
    (found,) = re.findall(rf'id="packed-{name}">([^<]*)</script>', page)
    return gzip.decompress(base64.b64decode(found)).decode()


def sections_of(page: str) -> list[str]:
    return re.findall(r'<section id="([^"]*)"', page)


def read(folder: Path, name: str) -> dict:
    return yaml.safe_load((folder / name).read_text())


def test_sections_are_those_that_there_are_data_for(runs):
    stable, unstable = map(page_of, runs)
    first = ["health", "structure", "relaxation"]
    later = ["eos", "elastic", "qha", "sscha", "committee", "method"]
    assert sections_of(stable) == [*first, "stability", "bands", "thermal", *later]
    assert sections_of(unstable) == [*first, "bands", "modes", "thermal", "method"]


def test_curves_are_those_of_the_files(runs):
    folder, figures = runs[0], data_of(page_of(runs[0]))["figures"]
    thermal = read(folder, "thermal_properties.yaml")["thermal_properties"]
    assert figures["free_energy"]["data"][0]["y"] == [row["free_energy"] for row in thermal]
    assert [trace["name"] for trace in figures["entropy"]["data"]] == ["S", "Cᵥ"]
    eos = read(folder, "eos.yaml")
    fit, points = figures["eos"]["data"]
    expected = [1e3 * (point["energy"] - eos["energy"][0]) for point in eos["points"]]
    np.testing.assert_allclose(points["y"], expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose([fit["y"][0], fit["y"][-1]], [expected[0], expected[-1]], rtol=1e-2)
    for file, name, factor in (
        ("volume-temperature.dat", "volume_temperature", 1),
        ("thermal_expansion.dat", "thermal_expansion", 1e6),
        ("linear_thermal_expansion.dat", "linear_expansion", 1e6),
        ("bulk_modulus-temperature.dat", "bulk_modulus", 1),
        ("Cp-temperature.dat", "heat_capacity", 1),
    ):
        temperatures, values = np.loadtxt(folder / file).T
        np.testing.assert_allclose(figures[name]["data"][0]["x"], temperatures)
        np.testing.assert_allclose(figures[name]["data"][0]["y"], factor * values, rtol=1e-8)
    points, line = figures["helmholtz_volume"]["data"][:2]
    np.testing.assert_allclose(np.interp(points["x"], line["x"], line["y"]), points["y"], atol=0.05)
    iterations = read(folder, "sscha.yaml")["temperatures"][1]["iterations"]
    errors = figures["sscha_free_energy"]["data"][1]["error_y"]["array"]
    np.testing.assert_allclose(errors, [1e3 * each["free_energy_error"] for each in iterations], rtol=1e-4)


def test_committee_has_error_bars_to_both_models(runs):
    folder, page = runs[0], page_of(runs[0])
    figures, content = data_of(page)["figures"], read(runs[0], "committee.yaml")
    table = np.loadtxt(folder / "committee_expansion.dat").T  # T, then mean, difference and both members of each
    (volume,) = figures["committee_volume"]["data"]
    np.testing.assert_allclose(volume["y"], table[1], rtol=1e-6)
    np.testing.assert_allclose(volume["error_y"]["array"], np.abs(table[4] - table[3]) / 2, atol=1e-5)
    (expansion,) = figures["committee_expansion"]["data"]
    np.testing.assert_allclose(expansion["y"], 1e6 * table[5], rtol=1e-6)
    for name, column, factor in (
        ("volume_temperature", 1, 1),
        ("thermal_expansion", 5, 1e6),
        ("linear_expansion", 5, 1e6 / 3),
        ("bulk_modulus", 9, 1),
    ):
        own, spread = figures[name]["data"]
        assert (own["name"], spread["name"]) == ("this run", "mean and spread of the models")
        np.testing.assert_allclose(spread["y"], factor * table[column], rtol=1e-6)
        bars = factor * np.abs(table[column + 3] - table[column + 2]) / 2
        np.testing.assert_allclose(spread["error_y"]["array"], bars, rtol=1e-4, atol=1e-5)
    (modes,) = figures["committee_modes"]["data"]
    np.testing.assert_allclose(modes["y"], np.concatenate([q["difference"] for q in content["frequencies"]]), rtol=1e-6)
    assert f"{content['bulk_modulus']['difference']:.6g}" in page
    assert "The bars end at the two models." in html.unescape(page)


def test_bands_tell_q_frequency_and_band(runs):
    figure = data_of(page_of(runs[0]))["figures"]["phonons"]
    bands = [trace for trace in figure["data"] if "text" in trace]
    assert len(bands) == 3
    first = bands[0]
    assert len(first["x"]) == len(first["y"]) == len(first["text"])
    assert (first["text"][0], first["y"][0]) == ("(0, 0, 0)", 0)
    assert "band 1" in first["hovertemplate"]
    assert figure["layout"]["xaxis"]["ticktext"][:2] == ["Γ", "X"]
    (density,) = [trace for trace in figure["data"] if trace.get("name") == "Cu"][:1]
    heights, middles = np.array(density["x"]), np.array(density["y"])
    assert heights.sum() * (middles[1] - middles[0]) == pytest.approx(3, rel=1e-2)


def test_text_has_the_numbers_of_the_files(runs):
    folder, page = runs[0], html.unescape(page_of(runs[0]))
    record, elastic = read(folder, "phonopy_mlp.yaml")["phonopy_mlp"], read(folder, "elastic.yaml")
    assert record["input"]["file_digest"] in page
    assert record["steps"]["relax"]["space_groups_after"][0] in page
    assert f"{elastic['stress_strain']['stiffness_in_standard_axes'][0][0]:.3f}" in page
    assert f"{read(folder, 'eos.yaml')['bulk_modulus'][0]:.3f} ±" in page
    assert "phonopy-mlp run --mlp emt Cu.cif" in page
    assert "@article{togo2023implementation" in page


def test_imaginary_modes_move_as_their_eigenvectors(runs):
    data = data_of(page_of(runs[1]))
    record = read(runs[1], "phonopy_mlp.yaml")["phonopy_mlp"]["steps"]["force_constants"]
    assert len(data["modes"]) == min(12, record["imaginary_commensurate_modes"])
    lowest = data["modes"][0]
    assert lowest["label"].startswith(f"{record['lowest_commensurate_frequency']:.3f} THz")
    turns = np.multiply(lowest["q"], lowest["repeat"])
    np.testing.assert_allclose(turns, np.rint(turns))
    assert max(lowest["repeat"]) == 2
    assert np.hypot(lowest["real"], lowest["imaginary"]).max() == pytest.approx(1, abs=1e-3)


def test_warnings_stand_at_the_top(runs):
    page, warnings = page_of(runs[1]), read(runs[1], "phonopy_mlp.yaml")["phonopy_mlp"]["warnings"]
    assert any("imaginary modes" in text for text in warnings)
    places = [html.unescape(page).find(text) for text in warnings]
    assert all(0 < place < html.unescape(page).find('id="structure"') for place in places)
    assert "no warnings" in page_of(runs[0])
    health = read(runs[1], "phonopy_mlp.yaml")["phonopy_mlp"]["steps"]["force_constants"]["health"]
    imaginary = next(row for row in rows_of(page) if row[:1] == ["imaginary modes"])
    assert imaginary[1] == "doubtful"
    assert imaginary[2].startswith(f"{health['imaginary_modes']['value']:.2g} share")
    assert imaginary[3:] == ["0", "force constants"]


def test_names_from_outside_are_never_markup(runs):
    page = page_of(runs[1])
    assert "<script>alert" not in page
    assert html.escape(HOSTILE) in page
    assert all(
        "<script" not in part for part in (table([["<script>"]], head=["<script>"]), facts([("<script>", "<script>")]))
    )
    assert "<script" not in nested({"<script>": ["<script>", {"<script>": None}]}) + details("<script>", "")


@pytest.mark.parametrize("which", [0, 1])
def test_nothing_is_loaded_from_elsewhere(runs, which):
    page = page_of(runs[which])
    own = re.sub(r'(id="packed-[a-z]*">)[^<]*', r"\1", page)
    assert not re.findall(r'\bsrc\s*=|@import|url\(|<link(?! rel="icon" href="data:,")', own)
    outside = re.findall(r'href="(?!#|data:)([^"]*)"', own)
    assert outside
    assert all(address.startswith("https://doi.org/") for address in outside)


def test_figures_are_there_as_files(runs):
    for folder in runs:
        names = data_of(page_of(folder))["figures"]
        expected = {f"{name}.{suffix}" for name in names for suffix in FORMATS}
        assert {path.name for path in (folder / "report_figures").iterdir()} == expected
    assert b"Temperature (K)" in (runs[0] / "report_figures" / "thermal_expansion.svg").read_bytes()


def test_a_step_alone_has_a_report(registered, workdir, capsys):
    write("Cu.cif", bulk("Cu"))
    assert main(["elastic", "--mlp", "emt", "Cu.cif", "--relax", "--report"]) == 0
    assert "Report: report.html" in capsys.readouterr().out
    page = page_of(workdir)
    assert sections_of(page) == ["health", "structure", "relaxation", "elastic", "method"]
    stiffness = np.array(read(workdir, "elastic.yaml")["stress_strain"]["stiffness_in_standard_axes"])
    directions, modulus = young_surface(stiffness)
    compliance = np.linalg.inv(stiffness)
    assert modulus[0, 0] == pytest.approx(1 / compliance[2, 2])
    surface = data_of(page)["figures"]["young"]["data"][0]
    np.testing.assert_allclose(surface["z"], directions[..., 2] * modulus, rtol=1e-3, atol=1e-3)
    assert tensor.kelvin_eigenvalues(stiffness)[0] > 0


def test_files_of_an_earlier_calculation_are_not_shown_as_those_of_a_run(one_format, workdir):
    sampling = "--dim 2 2 2 --mesh 3 3 3 --tmax 100 --tstep 50 -q"
    write("Cu.cif", bulk("Cu"))
    assert command(f"run --mlp emt Cu.cif --relax {sampling} -t --eos --qha --qha-tensor") == 0
    before = page_of(write_report(workdir).parent)
    assert {"eos", "qha", "thermal"} < {*sections_of(before)}
    assert Path("report_figures/eos.png").exists()
    Path("report_figures/notes.txt").write_text("mine")
    shutil.copy("Cu.cif", "again.cif")
    assert command(f"run --mlp twice again.cif --relax {sampling}") == 0
    page = page_of(write_report(workdir).parent)
    assert sections_of(page) == ["health", "structure", "relaxation", "bands", "thermal", "method"]
    assert "thermal_properties.yaml" not in page
    assert {path.stem for path in Path("report_figures").iterdir()} == {*data_of(page)["figures"], "notes"}
    figures = [data_of(each)["figures"]["free_energy"]["data"][0] for each in (before, page)]
    at_zero = [figure["y"][figure["x"].index(0)] for figure in figures]
    assert at_zero[1] == pytest.approx(np.sqrt(2) * at_zero[0], rel=1e-3)


def test_what_the_run_that_computed_the_forces_did_is_shown(one_format, workdir):
    write("bcc.cif", bulk("Cu", "bcc", a=2.85))
    assert command("run --mlp emt bcc.cif --relax --fix-symmetry --dim 2 2 2 --mesh 3 3 3 -q --eos") == 0
    assert command("run phonopy_params.yaml --mesh 5 5 5 -q --report") == 0
    page = html.unescape(page_of(workdir))
    assert sections_of(page) == ["health", "structure", "relaxation", "bands", "modes", "thermal", "eos", "method"]
    origin = read(workdir, "phonopy_mlp.yaml")["phonopy_mlp"]["steps"]["forces_from"]
    for text in (*origin["warnings"], *origin["command"], origin["input"]["file_digest"]):
        assert text in page


def test_a_step_whose_file_another_command_has_replaced_is_left_out(one_format, workdir):
    sampling = "--dim 2 2 2 --mesh 3 3 3 -q"
    write("Cu.cif", bulk("Cu"))
    assert command(f"run --mlp emt Cu.cif --relax {sampling} -t --eos --qha --qha-volumes 5 --tmax 100") == 0
    thermal = page_of(write_report(workdir).parent)
    assert {"eos", "qha"} < {*sections_of(thermal)}
    Path("eos.png").write_bytes(b"drawn anew")
    assert page_of(write_report(workdir).parent) == thermal
    # Both ways write volume-temperature.dat.
    lengths = "-0.01 -0.005 0 0.005 0.01 0.015 0.02"
    assert command(f"qha --mlp emt Cu.cif --relax {sampling} --tmax 100 --qha-lengths {lengths}") == 0
    page = html.unescape(page_of(write_report(workdir).parent))
    assert "Another command has replaced" in page
    assert "qha in phonopy_mlp.yaml is left out." in page
    figures = data_of(page)["figures"]
    assert "lengths" in figures
    assert "helmholtz_volume" not in figures
    Path("eos.yaml").write_text(f"{Path('eos.yaml').read_text()}\n")
    assert "eos" not in sections_of(page_of(write_report(workdir).parent))
    # What phonopy has made is made from the force constants where it was replaced.
    Path("thermal_properties.yaml").write_text("a: [")
    assert "From the force constants" in page_of(write_report(workdir).parent)


def test_no_report_while_a_run_is_at_work(runs, capsys):
    with alone(runs[0]):
        assert main(["report", str(runs[0])]) == 2
    assert "Another run is at work in" in capsys.readouterr().err


def structures_of(folder: Path) -> list[str]:
    return [each["label"] for each in data_of(page_of(write_report(folder).parent))["structures"]]


def test_an_input_that_has_changed_since_is_not_shown(one_format, workdir):
    assert command("run --mlp emt Cu.cif --relax --dim 1 1 1 --mesh 3 3 3 -q") == 0
    assert structures_of(workdir) == ["phonons", "Cu.cif"]
    write("Cu.cif", bulk("Cu", a=4))
    assert structures_of(workdir) == ["phonons"]


def test_structures_that_no_record_tells_of_are_not_shown(one_format, workdir):
    write("relaxed.cif", bulk("Ni"))
    assert command("eos --mlp emt Cu.cif -q") == 0
    assert structures_of(workdir) == ["Cu.cif"]
    assert command("relax --mlp emt Cu.cif -q") == 0
    assert structures_of(workdir) == ["relaxed", "Cu.cif"]
    write("relaxed.cif", bulk("Ni"))
    assert structures_of(workdir) == ["Cu.cif"]


def test_a_structure_is_shown_once_however_it_is_oriented_and_ordered(one_format, workdir):
    places = [[0.01, 0, 0], [0.5, 0.5, 0.02], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    cell = [[3.7, 0.1, 0], [0, 3.75, 0.2], [0.15, 0, 3.72]]
    atoms = Atoms("CuAuCu2", scaled_positions=places, cell=cell, pbc=True)
    write("turned.vasp", atoms[[3, 1, 0, 2]], format="vasp")
    assert command("run --mlp emt turned.vasp --relax --relax-fmax 1e-3 --dim 1 1 1 --mesh 3 3 3 -q") == 0
    assert structures_of(workdir) == ["phonons", "turned.vasp"]
    turned, _ = rewritten(atoms, basis=np.eye(3, dtype=int), order=[2, 3, 0, 1], origin=(0, 0, 0), rotation=TURN)
    assert same_cell(atoms, turned)
    turned.positions[0] += 0.01
    assert not same_cell(atoms, turned)


def rows_of(page: str) -> list[list[str]]:
    """Return the cells of every row of the tables."""
    rows = re.findall(r"<tr>(.*?)</tr>", page)
    return [[html.unescape(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)] for row in rows]


def test_health_and_domain_of_a_record_are_tables(registered, workdir):
    def judged(value, sound):
        return {"net_force": {"value": value, "unit": "eV/angstrom", "limit": 1e-4, "sound": sound}}

    outside = {"kind": "contact", "atoms": list(range(10)), "message": "<b>Too close.</b>"}
    record = {
        "command": ["phonopy"],
        "calculator": {"name": "mini"},
        "domain": {
            "checked": ["element", "contact"],
            "findings": [],
            "others": {"maxi": {"checked": ["contact"], "findings": [outside]}},
        },
        "steps": {
            "force_constants": {"health": judged(0.02, sound=False)},
            "committee": {"members": [{"name": "maxi", "health": judged(None, sound=True)}]},
        },
        "warnings": ["<b>late</b>"],
    }
    Path("phonopy_mlp.yaml").write_text(yaml.safe_dump({"phonopy_mlp": record}))
    page = page_of(write_report(workdir).parent).partition('<section id="method"')[0]
    for row in (
        ["net force", "doubtful", "0.02 eV/Å", "0.0001", "force constants"],
        ["net force", "sound", "unknown eV/Å", "0.0001", "maxi"],
        ["maxi", "contact", "0 1 2 3 4 5 6 7 and 2 more", "<b>Too close.</b>"],
    ):
        assert row in rows_of(page)
    assert "Health of each model of the committee: 0 doubtful" in page
    assert "mini looked for element, contact: the structure is inside its domain." in page
    assert "&lt;b&gt;late&lt;/b&gt;" in page
    assert "<b>" not in page.partition("<section")[2]


STEPS = {"eos": {}, "phonopy": {}, "elastic_stress_strain": {}, "sscha": {}, "committee": {}}
WAYS = {"expansion_tensor.yaml": {"T (K)": []}, "axial_thermal_expansion.dat": {"a (A)": []}}
EOS = {
    "points": [{"volume": 10.0 + k, "energy": (k - 3) ** 2, "energy_minus_fit": 0.0} for k in range(7)],
    **{name: [4.0, 0.1] for name in ("volume", "energy", "bulk_modulus", "bulk_modulus_derivative")},
    "equation": "vinet",
}
MEMBERS = [{"name": name, "lowest_frequency": 1.0} for name in "ab"]
VOLUME = {"volume": {"members": [1.0, 2.0], "mean": 1.5, "difference": 1.0}}
FREQUENCIES = {"frequencies": [{"members": [[1.0, 2.0], [1.0, 3.0]]}]}

DAMAGED = {
    "eos.yaml": ["points: []", "- 1", "a: [", yaml.safe_dump(EOS), b"\xff"],
    "elastic.yaml": ["stress_strain: {}", "a: 1"],
    "thermal_properties.yaml": ["a: [", "thermal_properties: []", "thermal_properties: [{}]"],
    "thermal_expansion.dat": ["hot", "", "# T alpha\n", "1\n2\n", "1 2\n3\n"],
    "helmholtz-volume.dat": [
        "hot",
        "",
        "# Temperature: 0\n# Parameters: 1 2 3 4\n1 2\nhot 3\n",
        "# Temperature: 0\n# Parameters: 1\n1 2\n2 3\n",
    ],
    "sscha.yaml": ["temperatures: [{}]", "temperatures: []", "temperatures:"],
    "expansion_tensor.yaml": ["temperatures: [{}]", "temperatures: []"],
    "axial_thermal_expansion.dat": ["0 1\n1 2\n"],
    "committee.yaml": [
        yaml.safe_dump({"members": MEMBERS, **VOLUME, **FREQUENCIES}),
        yaml.safe_dump({"members": MEMBERS, "spread": "difference", **VOLUME, "frequencies": []}),
        yaml.safe_dump({"members": MEMBERS, "spread": "difference", **FREQUENCIES, "volume": {}}),
    ],
    "committee_dos.dat": ["# from_THz to_THz dos:1:a\n0 1 1\n"],
}
RECORDS = {
    "a: 1": "not a record",
    "phonopy_mlp: {steps: [1]}": "its 'steps' is not a mapping",
    "phonopy_mlp: {steps: {relax: }}": "its 'steps: relax' is not a mapping",
    "phonopy_mlp: {settings: 3}": "its 'settings' is not a mapping",
    "phonopy_mlp: {warnings: 3}": "its 'warnings' are not a list",
    "phonopy_mlp: {steps: {stabilise: {stable: true}}}": "section 'stability'",
    "phonopy_mlp: {steps: {stabilise: {stable: false}}}": "section 'stability'",
}


def fails_in_a_sentence(folder: Path, message: str, capsys) -> None:
    before = sorted(folder.iterdir())
    assert main(["report"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(("name", "content"), [(name, text) for name, texts in DAMAGED.items() for text in texts])
def test_a_damaged_file_is_one_sentence_that_names_it_and_leaves_nothing(workdir, capsys, name, content):
    steps = {**STEPS, "qha": WAYS.get(name, {"V (A^3)": []})}
    record = {"steps": steps, "settings": {"phonopy_tags": {"tprop": "true"}}}
    Path("phonopy_mlp.yaml").write_text(yaml.safe_dump({"phonopy_mlp": record}))
    if name == "committee_dos.dat":
        sound = {"members": MEMBERS, "spread": "difference", **VOLUME, **FREQUENCIES}
        Path("committee.yaml").write_text(yaml.safe_dump(sound))
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    fails_in_a_sentence(workdir, f"'{name}' cannot be read", capsys)


@pytest.mark.parametrize(("text", "message"), RECORDS.items())
def test_a_damaged_record_is_one_sentence_and_leaves_nothing(workdir, capsys, text, message):
    Path("phonopy_mlp.yaml").write_text(text)
    fails_in_a_sentence(workdir, message, capsys)


def test_a_folder_without_a_record_is_one_sentence(workdir, capsys):
    fails_in_a_sentence(workdir, "holds no finished run", capsys)
    assert main(["report", "nowhere"]) == 2
    assert "there is no such folder" in capsys.readouterr().err


def test_without_the_extra_it_says_what_to_install_before_any_work(registered, workdir, monkeypatch, capsys):
    monkeypatch.setattr(assets, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"pip install 'phonopy-mlp\[report\]'"):
        write_report(workdir)
    for line in ("run --mlp emt Cu.cif --report", "eos --mlp emt Cu.cif --report"):
        assert main(line.split()) == 2
        assert "plotly is not installed" in capsys.readouterr().err
    assert [path.name for path in workdir.iterdir()] == ["Cu.cif"]


def test_importing_the_report_loads_neither_plotly_nor_widgets():
    heavy = "{'plotly', 'weas_widget', 'ipywidgets'}"
    code = f"import sys, phonopy_mlp.cli.main; sys.exit(str({heavy} & {{*sys.modules}} or ''))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


def test_error_bars_and_labels_are_drawn():
    curve = Curve(np.arange(3.0), np.array([1.0, np.nan, 2.0]), "a", errors=np.array([0.1, 0.1, 0.2]))
    figure = draw_chart("x", "", "T (K)", "V (Å³)", [curve, Curve(np.arange(3.0), np.ones(3))])
    assert figure.data[0]["y"] == [1.0, None, 2.0]
    assert figure.data[0]["error_y"]["array"] == [0.1, 0.1, 0.2]
    axes = figure.draw().axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("T (K)", "V (Å³)")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a"]


@pytest.mark.parametrize(
    ("tex", "plain"),
    [
        ("$\\Gamma$", "Γ"),
        ("$\\mathrm{X}$", "X"),
        ("$\\mathrm{X_1}$", "X<sub>1</sub>"),
        ("$\\mathrm{\\Sigma_0}$", "Σ<sub>0</sub>"),
    ],
)
def test_labels_of_q_points_lose_their_tex(tex, plain):
    assert plain_label(tex) == plain


WATCH = """<script>
window.seen = [];
addEventListener("error", (event) => seen.push(event.message));
addEventListener("unhandledrejection", (event) => seen.push(String(event.reason)));
for (const level of ["error"]) console[level] = (...words) => seen.push(words.join(" "));
</script>"""

LOOK = """<script>
const waiting = setInterval(() => {
  const plots = document.querySelectorAll(".plot");
  const drawn = [...plots].filter((plot) => plot.querySelector(".main-svg, canvas")).length;
  if (document.documentElement.dataset.ready !== "yes" || drawn < plots.length) return;
  clearInterval(waiting);
  document.querySelectorAll(".views button").forEach((button) => button.click());
  document.querySelectorAll(".viewer select").forEach((select) => {
    select.value = select.options.length - 1;
    select.dispatchEvent(new Event("change"));
  });
  document.getElementById("theme").click();
  setTimeout(() => parent.postMessage(JSON.stringify({
      plots: plots.length, drawn, errors: seen, width: innerWidth,
      buttons_of_modes: [...document.querySelectorAll("#modes-viewer button")].map((button) => button.textContent),
      canvases: [...document.querySelectorAll(".viewer canvas")].map((canvas) => canvas.width * canvas.height),
      viewers: document.querySelectorAll(".viewer").length,
      loaded: performance.getEntriesByType("resource").map((entry) => entry.name),
      buttons: [...document.querySelectorAll(".modebar-btn")].map((button) => button.dataset.title),
      overflow: document.documentElement.scrollWidth - innerWidth,
      failed: document.getElementById("failed").textContent,
    }), "*"), 1500);
}, 200);
</script>"""

# No window of a browser is as narrow as a phone; a frame may be. It is as high as the page: figures are drawn when they
# come near the screen.
FRAME = """<!doctype html><iframe src="page.html" style="border: 0; width: {width}px; height: 12000px"></iframe>
<script>
addEventListener("message", (event) => document.body.append(Object.assign(document.createElement("pre"), {{
  id: "found", textContent: event.data }})));
</script>"""


@pytest.mark.parametrize(("which", "width", "still"), [(0, 1200, True), (1, 390, True), (1, 1200, False)])
def test_it_opens_in_a_browser_without_an_error(runs, which, width, still, tmp_path):
    page = page_of(runs[which]).replace("<script ", WATCH + "<script ", 1).replace("</body>", LOOK + "</body>")
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    (tmp_path / "frame.html").write_text(FRAME.format(width=width), encoding="utf-8")
    motion = ["--force-prefers-reduced-motion"] if still else []
    options = (*motion, "--window-size=1300,12000", "--virtual-time-budget=20000")
    done = open_page(tmp_path / "frame.html", tmp_path / "profile", *options)
    (text,) = re.findall(r'<pre id="found">(.*?)</pre>', done.stdout, re.S) or [done.stderr[-2000:]]
    found = json.loads(html.unescape(text))
    assert found["errors"] == []
    assert found["failed"] == ""
    assert found["width"] == width
    assert found["drawn"] == found["plots"] == len(data_of(page_of(runs[which]))["figures"])
    assert len(found["canvases"]) == found["viewers"] == 1 + which
    assert found["buttons_of_modes"] == ([] if which == 0 else ["Play" if still else "Pause"])
    assert min(found["canvases"]) > 0
    assert all(address.startswith(("blob:", "data:")) for address in found["loaded"])
    assert found["overflow"] <= 0
    assert "Reset axes" in found["buttons"]
    assert not [title for title in found["buttons"] if "Share" in title]
