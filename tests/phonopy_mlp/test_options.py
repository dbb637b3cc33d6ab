from pathlib import Path

import numpy as np
import pytest
from phonopy.cui.phonopy_argparse import get_init_parser, get_run_parser

from phonopy_mlp.cli import compare, report
from phonopy_mlp.cli.arguments import RelaxOptions
from phonopy_mlp.cli.command import COMMANDS, make_parser
from phonopy_mlp.cli.config import expand
from phonopy_mlp.cli.options import drop, is_option, own_parser, parse
from phonopy_mlp.errors import SettingsError

KEPT_FROM_PHONOPY = {"--dim", "-c", "--cell", "--nodiag", "--trigonal", "-d", "--displacement", "--amplitude", "--amin"}
KEPT_FROM_PHONOPY |= {"--sscha", "--pm", "--rd", "--random-displacements", "--random-seed", "-h", "--help"}


@pytest.fixture(autouse=True)
def _place(registered, workdir):
    Path("phonopy_disp.yaml").write_text("")


def names_of(parser):
    return {name for action in parser._actions for name in action.option_strings}


def test_our_own_options_have_names_that_phonopy_lacks(monkeypatch):
    monkeypatch.setattr("sys.argv", ["phonopy"])
    theirs = names_of(get_run_parser()[0]) | names_of(get_init_parser()[0])
    ours = names_of(own_parser("phonopy"))
    assert ours & theirs == KEPT_FROM_PHONOPY


@pytest.mark.parametrize(
    "line",
    [
        "--mlp emt --dim 2 2 2 Cu.cif",
        "--mlp=emt --dim 2 2 2 Cu.cif",
        "Cu.cif --mlp emt --dim 2 2 2",
        "--dim 2 2 2 --mlp emt Cu.cif",
        "--mlp emt -c Cu.cif --dim 2 2 2",
    ],
)
def test_the_structure_is_found_wherever_it_stands(line):
    options = parse(line.split(), "phonopy")
    assert (options.structure, options.calculator.model, options.supercell.words) == (
        Path("Cu.cif"),
        "emt",
        ("2", "2", "2"),
    )
    assert options.arguments == ()


def test_mlp_alone_means_the_default_model():
    options = parse(["--mlp", "Cu.cif"], "phonopy")
    assert (options.structure, options.calculator.model) == (Path("Cu.cif"), None)


@pytest.mark.parametrize("word", ["mine.model", "mine.safetensors", "mine.json", "unheard-of"])
def test_a_model_file_or_an_unknown_name_is_the_model(word):
    assert parse(["--mlp", word, "Cu.cif"], "phonopy").calculator.model == word


def test_the_structure_is_found_behind_an_option_with_many_values():
    line = "--mlp emt --mesh 11 11 11 Cu.cif"
    options = parse(line.split(), "phonopy")
    assert options.structure == Path("Cu.cif")
    assert options.arguments == ("--mesh", "11", "11", "11")
    assert options.settings.mesh_numbers == [11, 11, 11]


def test_phonopys_options_reach_phonopy_in_order():
    line = "--mlp emt Cu.cif --band auto --dos -t --tmax 500 -p -s --fmax 9 --pa P --anime 0.5 -0.5 0"
    options = parse(line.split(), "phonopy")
    assert options.arguments == tuple(line.split()[3:])
    assert options.settings.max_temperature == 500
    assert options.settings.max_frequency == 9


def test_displacement_options_are_read_as_phonopy_reads_them_and_stay_here():
    line = "--mlp emt Cu.cif -d --amplitude 0.02 --pm --rd 3 --random-seed 7 --nodiag --trigonal --mesh 3 3 3"
    options = parse(line.split(), "phonopy")
    settings = options.settings
    assert (settings.displacement_distance, settings.is_plusminus_displacement) == (0.02, True)
    assert (settings.random_displacements, settings.random_seed) == (3, 7)
    assert (options.diagonal, options.trigonal) == (False, True)
    assert options.arguments == ("--mesh", "3", "3", "3")


def test_a_configuration_file_is_phonopys():
    Path("my.conf").write_text("DIM = 2 2 2\nMESH = 7 7 7\nDISPLACEMENT_DISTANCE = 0.03\n")
    options = parse(["--mlp", "emt", "Cu.cif", "--config", "my.conf", "--mesh", "5", "5", "5"], "phonopy")
    assert options.settings.mesh_numbers == [5, 5, 5]
    assert options.settings.displacement_distance == 0.03
    np.testing.assert_array_equal(options.settings.supercell_matrix, np.diag([2, 2, 2]))
    assert (options.chooses_displacements, options.diagonal, options.trigonal) == (True, True, False)
    Path("my.conf").write_text("MESH = 7 7 7\n")
    assert not parse(["Cu.cif", "--config", "my.conf"], "phonopy").chooses_displacements
    Path("my.conf").write_text("DIAG = .FALSE.\nTRIGONAL = .TRUE.\n")
    options = parse(["Cu.cif", "--config", "my.conf"], "phonopy")
    assert (options.chooses_displacements, options.diagonal, options.trigonal) == (True, False, True)


def test_symmetrise_has_a_default_and_leaves_the_structure_alone():
    assert parse(["--symmetrise", "Cu.cif"], "phonopy").symmetrise == 1e-2
    assert parse(["--symmetrise", "1e-4", "Cu.cif"], "phonopy").symmetrise == 1e-4
    assert parse(["Cu.cif"], "phonopy").symmetrise is None
    assert parse(["--symmetrise", "--stabilise", "Cu.cif"], "phonopy").stabilisation.symmetrise == 1e-2
    assert parse(["--stabilise", "Cu.cif"], "phonopy").stabilisation.symmetrise is None


def test_how_a_structure_is_relaxed():
    assert parse(["Cu.cif"], "phonopy").relaxation is None
    assert parse(["Cu.cif", "--relax"], "phonopy").relaxation == RelaxOptions()
    line = "--relax --relax-fmax 1e-4 --relax-steps 50 --relax-cell fixed --fix-atoms 3,1-2 --relax-unconverged"
    found = parse([*line.split(), "--fix-symmetry", "Cu.cif"], "phonopy")
    assert found.structure == Path("Cu.cif")
    assert found.relaxation == RelaxOptions(1e-4, 50, "fixed", 0.0, 1e-2, (0, 1, 2), must_converge=False)
    under = parse(["Cu.cif", "--relax", "--pressure", "-0.5"], "phonopy").relaxation
    assert under == RelaxOptions(pressure=-0.5)


@pytest.mark.parametrize("word", ["-1e-3", "-1.E-3", "-.001", "-0.1e-2", "-0.001", "-1e-03"])
def test_negative_numbers_are_values_however_they_are_written(word):
    line = f"Cu.cif --relax --pressure {word} --qha --qha-lengths {word} 0 1e-3 2e-3 --band {word} 0 0 0.5 0 0"
    options = parse(line.split(), "phonopy")
    assert options.relaxation == RelaxOptions(pressure=-1e-3)
    assert options.steps[0].lengths == (-1e-3, 0, 1e-3, 2e-3)
    assert options.arguments == ("--band", "-0.001", "0", "0", "0.5", "0", "0")


def test_negative_numbers_of_a_file_are_values():
    Path("settings.yaml").write_text(
        "structure: Cu.cif\nrelax: true\npressure: -1.0e-5\nqha: true\nqha_lengths: [-1e-5, -1.0e-6, 0, 1.0e-5]\n"
    )
    options = parse(expand(["--mlp-config", "settings.yaml"], "run"), "phonopy")
    assert options.relaxation == RelaxOptions(pressure=-1e-5)
    assert options.steps[0].lengths == (-1e-5, -1e-6, 0, 1e-5)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--mlp emt", "No structure was given"),
        ("--mlp emt Cu.cif phonopy_disp.yaml", "More than one structure"),
        ("--mlp emt Cu.cif --symmetrise tight", "not a tolerance"),
        ("--mlp emt Cu.cif --fix-symmetry loose --relax", "--fix-symmetry loose"),
        ("--mlp emt Cu.cif --pressure 1", "--pressure without --relax"),
        ("--mlp emt Cu.cif --pressure 0 --relax-steps 2000", "--relax-steps, --pressure without --relax"),
        ("--mlp emt Cu.cif --relax-unconverged", "--relax-unconverged without --relax"),
        ("--mlp emt Cu.cif --relax --fix-atoms 0-3", "'0-3' is no atom"),
        ("--mlp emt Cu.cif --relax --fix-atoms 1-b", "'1-b' is no atom"),
        ("--mlp emt Cu.cif --config missing.conf", "Configuration file 'missing.conf'"),
    ],
)
def test_what_makes_no_sense_is_refused(line, message):
    with pytest.raises(SettingsError, match=message):
        parse(line.split(), "phonopy")


@pytest.mark.parametrize("line", ["--unheard-of", "--tmax hot", "--dtype float16", "--relax-fmax x"])
def test_options_that_do_not_parse_end_with_status_2(line, capsys):
    with pytest.raises(SystemExit) as ended:
        parse(["Cu.cif", *line.split()], "phonopy")
    assert ended.value.code == 2
    assert "error" in capsys.readouterr().err


def test_dropping_takes_the_values_along():
    line = "--band auto --anime 0 -0.5 .5 -t --mesh 3 3 3"
    assert drop(line.split(), ("--band", "--anime")) == ["-t", "--mesh", "3", "3", "3"]
    assert drop(["--band=auto", "-t"], ("--band",)) == ["-t"]


@pytest.mark.parametrize(
    ("word", "expected"), [("-t", True), ("--dos", True), ("-0.5", False), ("-.5", False), ("x", False)]
)
def test_a_negative_number_is_a_value(word, expected):
    assert is_option(word) is expected


@pytest.mark.parametrize("name", ["run", "compare", "report", *COMMANDS])
def test_every_option_is_in_the_documents(name):
    text = "".join(path.read_text() for path in (Path(__file__).parents[2] / "docs").glob("*.md"))
    parsers = {
        "run": lambda: own_parser("phonopy"),
        "compare": compare.make_parser,
        "report": report.make_parser,
    }
    parser = parsers.get(name, lambda: make_parser(name))()
    for action in parser._actions:
        if action.option_strings and action.dest != "help":
            assert any(f"`{option}" in text for option in action.option_strings), action.option_strings
