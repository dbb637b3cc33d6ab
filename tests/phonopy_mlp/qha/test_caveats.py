"""A crystal whose waves between the commensurate q-points turn imaginary, as its springs say."""

import html
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import yaml
from lattices import EDGE, compliances, softening, square_frequencies
from numpy.testing import assert_allclose

from phonopy_mlp.errors import StructureWarning
from phonopy_mlp.qha.axes import run_axial_qha
from phonopy_mlp.qha.caveats import warn_of_doubts
from phonopy_mlp.qha.output import write_axial_qha, write_expansion_tensor, write_qha
from phonopy_mlp.qha.tensor import compute_expansion_tensor
from phonopy_mlp.qha.volumes import run_mlp_qha
from phonopy_mlp.report.page import write_report

MESH = 9
SETTINGS = {"supercell_matrix": np.diag([4, 4, 4]), "mesh": (MESH,) * 3, "temperatures": [0, 10]}
STRAINS = np.linspace(-0.02, 0.02, 7)
LENGTHS = tuple(STRAINS[1:-1])
OVER_VOLUMES = {"strain": STRAINS[-1], "volumes": 7, "most_added": 0, "imaginary": "exclude"}


def share(edge):
    """Return the share of the mesh's modes, translations not counted, that the springs make imaginary."""
    qpoints = np.array(list(product(range(MESH), repeat=3))) / MESH
    return np.count_nonzero(square_frequencies(softening()[1], edge, qpoints) < -1e-9) / (3 * MESH**3 - 3)


def deformations(edge):
    """Return how many long waves, in the directions with indices up to 2, and strains the springs make unstable."""
    directions = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 1], [2, 1, 0], [2, 1, 1], [2, 2, 1]])
    waves = square_frequencies(softening()[1], edge, 1e-3 * directions / np.linalg.norm(directions, axis=1)[:, None])
    atoms, calculator = softening()
    atoms.set_cell([edge] * 3, scale_atoms=True)
    moduli = np.linalg.eigvalsh(np.linalg.inv(compliances(atoms, calculator)))
    return np.count_nonzero(waves < 0), np.count_nonzero(moduli < 0)


def told_of(calculate):
    """Return a result, and the warnings of modes that were left out and of deformations."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = calculate()
    told = [str(each.message) for each in caught]
    return result, *([text for text in told if word in text] for word in ("left out", "lower the energy"))


@pytest.fixture(scope="module")
def volumes():
    atoms, calculator = softening()
    return told_of(lambda: run_mlp_qha(atoms, calculator, **OVER_VOLUMES, **SETTINGS))


def test_every_volume_tells_its_share_and_warns_once_if_it_is_used(volumes):
    result, told, _ = volumes
    expected = [share(EDGE * (1 + strain)) for strain in STRAINS]
    assert_allclose([point.thermal.left_out for point in result.points], expected, atol=1e-12)
    assert result.used == (True,) * 6 + (False,)
    assert np.flatnonzero(expected).tolist() == [5, 6]
    (message,) = told
    at = result.points[5].volume
    assert f"{100 * expected[5]:.2g} % of the mesh's modes are imaginary at a volume of {at:.3f} A^3" in message


def test_unsound_force_constants_are_told_of_every_lattice_and_warned_of_once(workdir):
    atoms, calculator = softening()
    calculator.describe = lambda: {"name": "single", "dtype": "float32"}
    stiff = compliances(*softening())
    ways = {
        "qha_volumes.yaml": lambda: run_mlp_qha(atoms, calculator, **OVER_VOLUMES, **SETTINGS),
        "qha_lattices.yaml": lambda: run_axial_qha(atoms, calculator, strains=LENGTHS, **SETTINGS),
        "expansion_tensor.yaml": lambda: compute_expansion_tensor(atoms, calculator, compliances=stiff, **SETTINGS),
    }
    writers = (write_qha, write_axial_qha, write_expansion_tensor)
    # One of the seven volumes has imaginary modes, and is not used.
    for (name, calculate), write, count, all_of_them in zip(ways.items(), writers, (6, 5, 3), (7, 5, 3), strict=True):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            write(calculate(), workdir)
        (told,) = [str(each.message) for each in caught if "float32" in str(each.message)]
        assert told.startswith(f"At {count} of {count} lattices: The model computed in float32")
        content = yaml.safe_load(Path(name).read_text())
        points = (
            content.get("volumes") or content.get("lattices") or [{"doubtful": each} for each in content["doubtful"]]
        )
        assert [point["doubtful"]["precision"]["value"] for point in points] == ["float32"] * all_of_them


def test_the_worst_of_doubts_is_told():
    doubts = [{"net_force": {"value": value, "warning": f"{value} too much."}} for value in (0.1, 0.3, 0.2)]
    with pytest.warns(StructureWarning, match=r"^At 3 of 4 lattices: 0\.3 too much\.$"):
        warn_of_doubts([*doubts, {}])


@pytest.fixture(scope="module")
def lattices():
    atoms, calculator = softening()
    return told_of(lambda: run_axial_qha(atoms, calculator, strains=LENGTHS, **SETTINGS))


def test_every_lattice_tells_its_share_and_warns_once(lattices):
    result, told, _ = lattices
    edges = EDGE * (1 + np.array(LENGTHS))
    assert_allclose(result.sampled_lengths, np.repeat(edges[:, None], 3, axis=1), rtol=1e-6)
    assert_allclose([p.thermal.left_out for p in result.points], [share(x) for x in edges], atol=1e-12)
    (message,) = told
    assert f"{100 * share(edges[-1]):.2g} % " in message
    assert f"with lattice vectors of {' '.join([f'{edges[-1]:.4f}'] * 3)} A" in message


@pytest.fixture(scope="module")
def tensor():
    """Return the expansion tensor at the lattice where modes are left out, and the warnings."""
    atoms, calculator = softening()
    stiff = compliances(*softening())
    atoms.set_cell(atoms.cell.array * (1 + LENGTHS[-1]), scale_atoms=True)
    return told_of(lambda: compute_expansion_tensor(atoms, calculator, compliances=stiff, **SETTINGS))


def test_an_expansion_tensor_tells_its_share(tensor):
    result, told, _ = tensor
    assert result.left_out == pytest.approx(share(EDGE * (1 + LENGTHS[-1])), abs=1e-12)
    assert len(told) == 1
    assert (result.frequencies < 0).any()


def test_long_waves_and_strains_are_looked_at_and_warned_of(volumes, lattices, tensor):
    expected = [deformations(EDGE * (1 + strain)) for strain in STRAINS]
    # Before any wave of the mesh turns imaginary, longer ones do.
    assert [max(each) > 0 for each in expected[:-1]] == [False] * 4 + [True] * 2
    for found, first in ((volumes, 0), (lattices, 1)):
        points = found[0].points
        assert [(point.unstable_waves, point.unstable_strains) for point in points] == expected[first:][: len(points)]
    assert (tensor[0].unstable_waves, tensor[0].unstable_strains) == expected[5]
    said = "{} long acoustic waves and {} homogeneous strains lower the energy "
    for found, place, those in (
        (volumes, "at a volume of", expected[4:6]),
        (lattices, "with lattice vectors of", expected[4:6]),
        (tensor, "at the lattice given", expected[5:6]),
    ):
        starts = [said.format(*numbers) + place for numbers in those]
        assert all(any(message.startswith(start) for message in found[2]) for start in starts)
        assert len(found[2]) == len(starts)


def test_files_and_report_tell_it(volumes, lattices, workdir):
    write_qha(volumes[0], workdir)
    write_axial_qha(lattices[0], workdir)
    files = {"V (A^3)": ("qha_volumes.yaml", "volumes", 5), "a (A)": ("qha_lattices.yaml", "lattices", 4)}
    for column, (name, listed, which) in files.items():
        shares = [point["share_of_mesh_modes_left_out"] for point in yaml.safe_load(Path(name).read_text())[listed]]
        largest = share(EDGE * (1 + LENGTHS[-1]))
        assert shares[which] == pytest.approx(largest, abs=1e-12)
        page = report({column: []})
        assert f"Up to {100 * largest:.2g} % of the mesh" in page
        assert "mesh modes left out (%)" in page
        assert "Long acoustic waves or homogeneous strains lower the energy of 2 of" in page
        assert all(f"<td>{100 * value:.2g}</td>" in page for value in shares)


def test_file_and_report_tell_it_of_a_tensor(tensor, workdir):
    result = tensor[0]
    write_expansion_tensor(result, workdir)
    assert yaml.safe_load(Path("expansion_tensor.yaml").read_text())["share_of_mesh_modes_left_out"] == result.left_out
    page = report({"T (K)": []})
    assert f"Up to {100 * result.left_out:.2g} % of the mesh" in page
    assert "lower the energy of 1 of 1 lattices" in page


def report(step):
    """Return the page on the working folder with the record of one step."""
    Path("phonopy_mlp.yaml").write_text(yaml.safe_dump({"phonopy_mlp": {"steps": {"qha": step}}}))
    return html.unescape(write_report(Path.cwd()).read_text())
