"""The engine against mace itself, and linear response against differences of forces and mace's own Hessian."""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from numpy.testing import assert_allclose

from mace_mof_calc import MaceMOF, structures
from mace_mof_calc.calculator import MACECalculator
from mace_mof_calc.engine import operations
from mace_mof_calc.engine.cluster import Cluster, side_by_side
from mace_mof_calc.engine.engine import FOLDED, TOGETHER, Backend, Engine
from mace_mof_calc.engine.folding import UnfoldableError
from mace_mof_calc.engine.graph import SKIN, NeighbourList
from mace_mof_calc.engine.harmonics import tabulate_harmonics
from mace_mof_calc.engine.operations import _cuts
from mace_mof_calc.errors import AccelerationError, DisplacementError
from mace_mof_calc.models.loading import load

from ..conftest import TINY, make_module, save_pickle

RESIDUAL, PLAIN = "RealAgnosticResidualInteractionBlock", "RealAgnosticInteractionBlock"
SMALL = replace(TINY, avg_num_neighbors=1.5, max_ell=3, correlation=(3, 3), hidden_irreps="4x0e+4x1o")

VARIANTS = {
    "as MACE-MP-0b": replace(SMALL, interaction_cls_first=RESIDUAL, pair_repulsion=True, distance_transform="Agnesi"),
    "plain first block": replace(SMALL, interaction_cls_first=PLAIN, pair_repulsion=True),
    "plain blocks": replace(SMALL, interaction_cls=PLAIN, interaction_cls_first=PLAIN),
    "scalars": replace(SMALL, hidden_irreps="4x0e", interaction_cls_first=RESIDUAL),
    "quadrupoles": replace(SMALL, hidden_irreps="4x0e+4x1o+4x2e", interaction_cls_first=RESIDUAL),
    "one layer": replace(SMALL, num_interactions=1, correlation=(3,), interaction_cls_first=RESIDUAL),
    "three layers": replace(SMALL, num_interactions=3, correlation=(2, 2, 2), interaction_cls_first=RESIDUAL),
    "correlations differ": replace(SMALL, correlation=(2, 3), interaction_cls_first=RESIDUAL),
    "heads": replace(SMALL, heads=("Default", "other", "third"), interaction_cls_first=RESIDUAL),
    "no products": replace(SMALL, correlation=(1, 1), interaction_cls_first=RESIDUAL),
    "deep radial network": replace(SMALL, radial_MLP=(4,) * 11, interaction_cls_first=RESIDUAL),
}


@cache
def variant(name: str, r_max: float | None = None) -> torch.nn.Module:
    """Return the model of an architecture, which takes half a second to make; nobody changes it."""
    return make_module(VARIANTS[name] if r_max is None else replace(VARIANTS[name], r_max=r_max))


def small_crystal() -> Atoms:
    atoms = bulk("ZnO", "wurtzite", a=3.25, c=5.2)
    atoms.rattle(0.1, seed=1)
    return atoms


def skewed() -> Atoms:
    atoms = Atoms("CO2H", positions=[[0, 0, 0], [1.2, 0.1, 0], [-1.1, 0.3, 0.2], [0.2, 1.0, 0.4]], pbc=True)
    atoms.set_cell([[3.5, 0, 0], [2.9, 2.6, 0], [-1.2, 2.0, 4.1]])
    return atoms


def stretched() -> Atoms:
    """A molecule in a box, bonds off the radii at which the pair repulsion ends."""
    atoms = molecule("CH3OH")
    atoms.positions *= 1.05
    atoms.set_cell([14, 15, 16])
    atoms.pbc = True
    return atoms


PRODUCTION = replace(
    VARIANTS["as MACE-MP-0b"],
    r_max=6.0,
    num_bessel=10,
    hidden_irreps="128x0e+128x1o",
    MLP_irreps="16x0e",
    radial_MLP=(64, 64, 64),
    atomic_numbers=tuple(range(1, 90)),
    avg_num_neighbors=4.0,
)

STRUCTURES = {
    "smaller than the cutoff": small_crystal(),
    "one atom": bulk("Al", a=4.05),
    "skewed": skewed(),
    "vacuum": stretched(),
    "slab": Atoms("OZn", positions=[[0, 0, 0], [0.2, 0.1, 1.9]], cell=[3, 3, 0], pbc=(True, True, False)),
    "slab on its side": Atoms("OZn", positions=[[0, 0, 0], [0.2, 1.9, 0.1]], cell=[3, 0, 3], pbc=(True, False, True)),
    "molecule": molecule("H2O"),
    "no neighbours": Atoms("H", cell=[12, 12, 12], pbc=True),
}


def mace(module: torch.nn.Module, atoms: Atoms, head: str = "Default") -> MACECalculator:
    calculator = MACECalculator(models=[module], device="cpu", default_dtype="float64", head=head)
    calculator.get_property("energy", atoms)
    return calculator


@pytest.fixture(params=["compiled", "pytorch"])
def backend(request: pytest.FixtureRequest) -> Backend:
    return request.param


def assert_equal_to_rounding(found: np.ndarray, expected: np.ndarray) -> None:
    """Compare to 1e-12 of the largest entry, or of 1 where all of them vanish by symmetry."""
    largest = np.abs(expected).max()
    assert_allclose(found, expected, rtol=0, atol=1e-12 * (largest if largest > 1e-12 else 1.0))


def assert_same(engine: Engine, module: torch.nn.Module, atoms: Atoms, head: str = "Default") -> None:
    found, results = engine.evaluate(atoms), mace(module, atoms, head).results
    assert_allclose(found.energies, results["energies"], rtol=1e-12)
    assert_equal_to_rounding(found.forces, results["forces"])
    if atoms.pbc.all():
        stress = found.virial / atoms.get_volume()
        assert_equal_to_rounding(stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]], results["stress"])


@pytest.mark.parametrize("name", VARIANTS)
def test_it_is_mace_for_every_architecture_it_knows(name: str, backend: Backend) -> None:
    module = variant(name)
    for number, head in enumerate(VARIANTS[name].heads):
        assert_same(Engine(module, number, backend=backend), module, small_crystal(), head)


@pytest.mark.parametrize("name", STRUCTURES)
def test_it_is_mace_for_every_kind_of_structure(name: str, backend: Backend) -> None:
    module = variant("as MACE-MP-0b")
    assert_same(Engine(module, backend=backend), module, STRUCTURES[name])


def test_open_axes_may_point_anywhere(backend: Backend) -> None:
    """mace itself, whose own cell is flat here, ends with "Zero cell volume" or never."""
    engine = Engine(variant("as MACE-MP-0b"), backend=backend)
    slab = small_crystal()
    slab.center(vacuum=4.0, axis=2)
    wire = slab[[0, 1]]
    for atoms, pbc in ((slab, (True, True, False)), (wire, (False, True, False))):
        atoms.pbc = pbc
        expected = engine.evaluate(atoms)
        for swap in ([0, 2, 1], [1, 2, 0]):  # of the Cartesian axes
            turned = Atoms(atoms.numbers, positions=atoms.positions[:, swap], cell=atoms.cell.array[:, swap], pbc=pbc)
            found = engine.evaluate(turned)
            assert_allclose(found.energies, expected.energies, rtol=1e-12)
            assert_allclose(found.forces, expected.forces[:, swap], atol=1e-12)


def test_it_is_mace_for_the_architecture_of_mace_mp_0b(backend: Backend) -> None:
    module = make_module(PRODUCTION)
    engine = Engine(module, backend=backend)
    for atoms in (small_crystal(), skewed()):  # two sets of elements of one engine
        assert_same(engine, module, atoms)


@pytest.mark.parametrize("atoms", [small_crystal(), skewed()], ids=["ZnO", "CHO2"])
def test_the_response_is_maces_for_the_architecture_of_mace_mp_0b(atoms: Atoms, backend: Backend) -> None:
    module = make_module(replace(PRODUCTION, atomic_numbers=(1, 6, 8, 30)))
    hessian = mace(module, atoms).get_hessian(atoms).reshape(3 * len(atoms), 3 * len(atoms))
    moves = np.random.default_rng(2).standard_normal((2, len(atoms), 3))
    response = Engine(module, backend=backend).force_response(atoms, moves)
    expected = -(moves.reshape(2, -1) @ hessian).reshape(2, -1, 3)
    assert_allclose(response, expected, atol=1e-12 * np.abs(expected).max())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_gpu_gives_what_the_cpu_gives(dtype: torch.dtype) -> None:
    atoms, module = structures.load("MOF-74"), load("mini").module
    atoms.rattle(0.05, seed=1)
    gpu, cpu = Engine(module, device="cuda", dtype=dtype, backend="pytorch"), Engine(module)
    limit = 1e-12 if dtype == torch.float64 else 1e-5
    assert_allclose(gpu.evaluate(atoms).forces, cpu.evaluate(atoms).forces, atol=limit)
    assert_allclose(gpu.evaluate_batch([atoms, atoms])[1].virial, cpu.evaluate(atoms).virial, atol=1e2 * limit)
    (_, _, one), (_, _, other) = (engine.atom_response(atoms, 0, np.eye(3)) for engine in (gpu, cpu))
    assert_allclose(one, other, atol=1e2 * limit)


def test_it_is_mace_for_mini_on_a_framework(backend: Backend) -> None:
    atoms = structures.load("UiO-66")
    atoms.rattle(0.05, seed=1)
    module = load("mini").module
    assert_same(Engine(module, backend=backend), module, atoms)


def test_what_it_does_not_know_is_refused() -> None:
    with pytest.raises(UnfoldableError, match="DensityInteractionBlock"):
        Engine(make_module(replace(TINY, interaction_cls_first="RealAgnosticDensityInteractionBlock")))
    with pytest.raises(UnfoldableError, match="correlation 4"):
        Engine(make_module(replace(TINY, correlation=(4, 4))))


@pytest.mark.parametrize(
    "options",
    [{"apply_cutoff": False}, {"use_agnostic_product": True}, {"gate": torch.tanh}, {"radial_type": "gaussian"}],
    ids=lambda options: next(iter(options)),
)
def test_a_trusted_model_that_it_does_not_know_is_left_to_mace(
    options: dict[str, object], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    atoms, path = small_crystal(), save_pickle(make_module(**options), tmp_path / "other.model")
    with caplog.at_level(logging.INFO, "mace_mof_calc"):
        calculator = MaceMOF(path, device="cpu", trust=True)
    assert "mace itself evaluates other" in caplog.text
    assert calculator.describe()["accelerated"] is False
    expected = mace(make_module(**options), atoms).results
    assert calculator.get_property("energy", atoms) == pytest.approx(expected["energy"], abs=1e-12)


def test_a_trusted_model_of_another_class_is_left_to_mace(tmp_path: Path) -> None:
    module = make_module()
    module.__class__ = module.__class__.__mro__[1]  # the plain MACE
    del module.scale_shift
    atoms, calculator = small_crystal(), MaceMOF(save_pickle(module, tmp_path / "plain.model"), trust=True)
    assert calculator.describe()["accelerated"] is False
    assert np.isfinite(calculator.get_property("energy", atoms))


def test_tables_of_few_sets_of_elements_are_kept() -> None:
    engine = Engine(make_module())
    kept = engine.model([1, 6])
    assert engine.model([6, 1, 1]) is kept
    for number in TINY.atomic_numbers:
        for other in TINY.atomic_numbers:
            engine.model([number, other])
    assert len(engine._folded) == FOLDED


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_default_device_of_the_process_does_not_matter(dtype: torch.dtype) -> None:
    atoms, module, normal = small_crystal(), make_module(), Engine(make_module(), dtype=dtype)
    expected, expected_response = normal.evaluate(atoms), normal.atom_response(atoms, 0, np.eye(3))[2]
    torch.set_default_device("meta")
    try:
        engine = Engine(module, dtype=dtype)
        found, response = engine.evaluate(atoms), engine.atom_response(atoms, 0, np.eye(3))[2]
    finally:
        torch.set_default_device(None)
    assert_allclose(found.forces, expected.forces, atol=1e-12)
    assert_equal_to_rounding(response, expected_response)


def test_acceleration_can_be_chosen_and_is_told() -> None:
    assert MaceMOF("mini", device="cpu").describe()["accelerated"] == "compiled"
    assert MaceMOF("mini", device="cpu", accelerate="pytorch").describe()["accelerated"] == "pytorch"
    assert MaceMOF("mini", device="cpu", accelerate=False).describe()["accelerated"] is False
    with pytest.raises(AccelerationError, match="'faster' on cpu"):
        MaceMOF("mini", device="cpu", accelerate="faster")  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", ["compiled", "pytorch"])
def test_single_precision_of_the_channels_is_near_double(backend: Backend) -> None:
    atoms = structures.load("MOF-74")
    module = load("mini").module
    single, double = (Engine(module, dtype=dtype, backend=backend) for dtype in (torch.float32, torch.float64))
    one, two = single.evaluate(atoms), double.evaluate(atoms)
    assert 1e-9 < np.abs(one.forces - two.forces).max() < 1e-5
    assert_allclose(one.energies, two.energies, rtol=1e-6)
    (_, _, near), (_, _, exact) = (engine.atom_response(atoms, 0, np.eye(3)) for engine in (single, double))
    assert 1e-9 < np.abs(near - exact).max() < 1e-6 * np.abs(exact).max()


def test_threads_share_the_work_and_change_nothing() -> None:
    atoms = structures.load("MOF-74")
    atoms.rattle(0.05, seed=1)
    engine = Engine(load("mini").module)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append((engine.evaluate(atoms), Engine(load("mini").module).atom_response(atoms, 5, np.eye(3))[2]))
            assert engine._kernels._threads()._max_workers == threads
    finally:
        torch.set_num_threads(before)
    (one, response), *others = found
    for other, response_too in others:
        assert_equal_to_rounding(other.forces, one.forces)
        assert_equal_to_rounding(response_too, response)


def test_little_memory_changes_nothing() -> None:
    atoms, module = small_crystal(), variant("as MACE-MP-0b")
    little, much = (Engine(module, backend="pytorch", memory=memory) for memory in (100_000, None))
    assert_allclose(little.evaluate(atoms).forces, much.evaluate(atoms).forces, atol=1e-12)
    a, b = (engine.atom_response(atoms, 0, np.eye(3))[2] for engine in (little, much))
    assert_allclose(a, b, atol=1e-12 * np.abs(b).max())


@pytest.mark.parametrize(("size", "most"), [(1, 55), (30, 14), (100, 6), (10_000, 1)])
def test_receivers_of_uneven_degrees_are_cut_so_that_their_table_fits(size: int, most: int) -> None:
    degrees = [int(d) for d in np.random.default_rng(0).integers(0, 8, 60)]
    degrees[20] = 40
    cuts = _cuts(degrees, size)
    assert (cuts[0], cuts[-1]) == (0, 60)
    tables = [(high - low, max(degrees[low:high])) for low, high in pairwise(cuts)]
    assert all(count == 1 or count * width <= size for count, width in tables)
    assert len(cuts) == len(set(cuts))
    assert len(tables) <= most


def test_tables_of_receivers_stay_within_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    memory, made = 400_000, []
    spread = operations._Places.spread

    def recording(place: operations._Places, x: torch.Tensor) -> torch.Tensor:
        table = spread(place, x)
        made.append((place.count, table.nbytes))
        return table

    monkeypatch.setattr(operations._Places, "spread", recording)
    lump = small_crystal() * (3, 3, 1)  # its corners have few neighbours
    lump.pbc = False
    Engine(variant("as MACE-MP-0b"), backend="pytorch", memory=memory).atom_response(lump, 0, np.eye(3))
    assert max(count for count, _ in made) > 1
    assert all(count == 1 or size <= memory for count, size in made)


def test_neighbour_lists_are_used_again_until_an_atom_has_moved_half_the_skin() -> None:
    module = variant("as MACE-MP-0b")
    engine, atoms = Engine(module), small_crystal()
    model, neighbours = engine.model(atoms.numbers), NeighbourList()
    neighbours.update(model, atoms)
    atoms.positions[0, 0] += 0.49 * SKIN
    found = neighbours.update(model, atoms)
    assert neighbours.builds == 1
    fresh = NeighbourList(skin=0.0).update(model, atoms)
    assert len(found.sender) == len(fresh.sender)
    atoms.positions[0, 0] += 0.02 * SKIN
    neighbours.update(model, atoms)
    assert neighbours.builds == 2
    atoms.set_cell(atoms.cell.array * 1.001, scale_atoms=True)
    neighbours.update(model, atoms)
    assert neighbours.builds == 3
    assert_same(engine, module, atoms)


def test_harmonics_are_those_of_e3nn_with_their_derivatives() -> None:
    table = tabulate_harmonics(3)
    rng = np.random.default_rng(3)
    unit = rng.standard_normal((5, 3))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    unit, weights = torch.as_tensor(unit), torch.as_tensor(rng.standard_normal((5, 16)))
    _, slopes = table.evaluate(unit)
    curvature = table.curvature(unit, weights)
    for k in range(3):
        step = 1e-5 * torch.eye(3, dtype=torch.float64)[k]
        (up, slope_up), (down, slope_down) = table.evaluate(unit + step), table.evaluate(unit - step)
        assert_allclose(slopes[..., k], (up - down) / 2e-5, atol=1e-7)
        assert_allclose(curvature[:, k], torch.einsum("el,elk->ek", weights, slope_up - slope_down) / 2e-5, atol=1e-6)


def differences(engine: Engine, atoms: Atoms, displacement: np.ndarray, step: float = 2e-4) -> np.ndarray:
    """Derivative of the forces along a displacement, by differences of fourth order."""

    def forces(factor: float) -> np.ndarray:
        moved = atoms.copy()
        moved.positions += factor * displacement
        return engine.evaluate(moved).forces

    return (8 * (forces(step) - forces(-step)) - (forces(2 * step) - forces(-2 * step))) / (12 * step)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_response_is_the_derivative_of_the_forces(name: str, backend: Backend) -> None:
    engine, atoms = Engine(variant(name), backend=backend), small_crystal()
    displacement = np.random.default_rng(5).standard_normal((len(atoms), 3))
    (response,) = engine.force_response(atoms, displacement[None])
    assert_allclose(response, differences(engine, atoms, displacement), atol=1e-7 * np.abs(response).max())


@pytest.mark.parametrize("name", [name for name in STRUCTURES if name != "no neighbours"])
def test_the_response_holds_for_every_kind_of_structure(name: str, backend: Backend) -> None:
    engine, atoms = Engine(variant("as MACE-MP-0b"), backend=backend), STRUCTURES[name]
    displacement = np.random.default_rng(5).standard_normal((len(atoms), 3))
    (response,) = engine.force_response(atoms, displacement[None])
    scale = max(np.abs(response).max(), 1e-3)
    assert_allclose(response, differences(engine, atoms, displacement, 1e-4), atol=1e-6 * scale)


@pytest.mark.parametrize(
    ("name", "head"), [("as MACE-MP-0b", 0), ("three layers", 0), ("heads", 0), ("heads", 1), ("heads", 2), ("mini", 0)]
)
def test_the_response_is_maces_own_hessian(name: str, head: int, backend: Backend) -> None:
    if name == "mini":
        loaded = load("mini")
        module, title = loaded.module, loaded.heads[head]
    else:
        module, title = variant(name), VARIANTS[name].heads[head]
    atoms = small_crystal()
    hessian = mace(module, atoms, title).get_hessian(atoms).reshape(3 * len(atoms), 3 * len(atoms))
    unit = np.eye(3 * len(atoms)).reshape(-1, len(atoms), 3)
    response = Engine(module, head, backend=backend).force_response(atoms, unit)
    assert_equal_to_rounding(-response.reshape(hessian.shape), hessian)


def assert_folds(engine: Engine, atoms: Atoms, index: int, repeat: tuple[int, ...]) -> None:
    """Compare the response of the crystal without end, put onto a supercell, with the response of that supercell."""
    atom, cell, response = engine.atom_response(atoms, index, np.eye(3))
    assert np.abs(response.sum(axis=1)).max() <= 1e-12 * np.abs(response).max()
    supercell = atoms * repeat
    images = np.stack([np.ravel_multi_index(tuple(c % repeat), repeat) for c in cell])
    folded = np.zeros((3, len(supercell), 3))
    np.add.at(folded, (slice(None), images * len(atoms) + atom), response)
    displacements = np.zeros((3, len(supercell), 3))
    displacements[:, index] = np.eye(3)
    assert_equal_to_rounding(folded, engine.force_response(supercell, displacements))


@pytest.mark.parametrize("name", VARIANTS)
def test_the_infinite_crystal_folds_onto_any_supercell(name: str, backend: Backend) -> None:
    engine, atoms = Engine(variant(name, 3.0), backend=backend), small_crystal()
    for repeat in ((1, 1, 1), (2, 1, 3)):
        assert_folds(engine, atoms, 1, repeat)


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_infinite_crystal_of_every_kind_of_structure_folds(name: str, backend: Backend) -> None:
    engine, atoms = Engine(variant("as MACE-MP-0b"), backend=backend), STRUCTURES[name]
    for repeat in ((1, 1, 1), tuple(2 if periodic else 1 for periodic in atoms.pbc)):
        assert_folds(engine, atoms, len(atoms) - 1, repeat)


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_force_constants_of_the_infinite_crystal_are_symmetric(name: str, backend: Backend) -> None:
    engine, atoms = Engine(variant("as MACE-MP-0b"), backend=backend), STRUCTURES[name]
    found = {}
    for index in range(len(atoms)):
        atom, cell, response = engine.atom_response(atoms, index, np.eye(3))
        for j, c, own in zip(atom.tolist(), cell.tolist(), response.transpose(1, 0, 2), strict=True):
            found[index, j, *c] = own
    blocks = np.array(list(found.values()))
    mirrored = [found.get((j, i, -x, -y, -z), np.zeros((3, 3))).T for i, j, x, y, z in found]
    assert_equal_to_rounding(np.array(mirrored), blocks)


@pytest.mark.parametrize("together", [1, 3])
def test_any_number_of_directions_is_computed_a_few_at_a_time(
    backend: Backend, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, atoms = Engine(variant("as MACE-MP-0b"), backend=backend), small_crystal()
    copies = []

    def recording(cluster: Cluster, count: int) -> tuple[Cluster, torch.Tensor]:
        copies.append(count)
        return side_by_side(cluster, count)

    atom, cell, unit = engine.atom_response(atoms, 1, np.eye(3))
    monkeypatch.setattr("mace_mof_calc.engine.engine.side_by_side", recording)
    monkeypatch.setitem(TOGETHER, "cpu", together)
    directions = np.random.default_rng(4).standard_normal((7, 3))
    _, _, response = engine.atom_response(atoms, 1, directions)
    assert_equal_to_rounding(response, np.einsum("dk,knx->dnx", directions, unit))
    assert copies == ([3, 3, 1] if together == 3 else [1] * 7)
    none = engine.atom_response(atoms, 1, np.zeros((0, 3)))
    assert none[2].shape == (0, len(atom), 3)
    assert none[1].tolist() == cell.tolist()
    assert engine.force_response(atoms, np.zeros((0, len(atoms), 3))).shape == (0, len(atoms), 3)


@pytest.mark.parametrize(
    "make", [lambda: Engine(make_module()), lambda: MaceMOF("mini", device="cpu")], ids=["engine", "MaceMOF"]
)
def test_a_displacement_that_is_none_is_refused(make: Callable[[], Engine | MaceMOF]) -> None:
    accelerated, atoms = make(), small_crystal()
    for shape in ((3,), (1, 1, 3), (3, 2)):
        with pytest.raises(DisplacementError, match="Directions of shape"):
            accelerated.atom_response(atoms, 0, np.ones(shape))
    for index in (-1, len(atoms)):
        with pytest.raises(DisplacementError, match=f"Atom {index} .* 0 to {len(atoms) - 1}"):
            accelerated.atom_response(atoms, index, np.eye(3))
    for shape in ((len(atoms), 3), (1, len(atoms) + 1, 3), (1, len(atoms), 2)):
        with pytest.raises(DisplacementError, match="Displacements of shape"):
            accelerated.force_response(atoms, np.ones(shape))
    for index in (1.5, "0", None):
        with pytest.raises(DisplacementError, match=f"Atom {index} "):
            accelerated.atom_response(atoms, index, np.eye(3))  # type: ignore[arg-type]  # what is tested
    for wrong in (np.nan, np.inf):
        directions, displacements = np.eye(3), np.zeros((1, len(atoms), 3))
        directions[1, 2] = displacements[0, 1, 2] = wrong
        with pytest.raises(DisplacementError, match="not finite"):
            accelerated.atom_response(atoms, 0, directions)
        with pytest.raises(DisplacementError, match="not finite"):
            accelerated.force_response(atoms, displacements)
    with pytest.raises(DisplacementError, match="Directions that are no array"):
        accelerated.atom_response(atoms, 0, [[1, 0, 0], [0, 1]])  # type: ignore[arg-type]  # what is tested
