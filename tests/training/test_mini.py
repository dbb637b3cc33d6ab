"""The training of mini: what it is compared with must be what ships."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from numpy.testing import assert_allclose
from torch import distributed

from mace_mof_calc import MaceMOF, structures
from mace_mof_calc.domain.reference import find_reference
from mace_mof_calc.models.cards import get_card
from mace_mof_calc.models.loading import load
from phonopy_mlp.structures import from_phonopy

sys.path.insert(0, str(Path(__file__).parents[2] / "training" / "mini"))
import archive
import build
import hessian
import train
from crystals import ELEMENTS, FRAMEWORKS, Framework
from fast import FastMACE
from graph import join, join_atoms
from hessian import diagonalise, load_all, setup
from losses import WEIGHTS, Minimum, Scales, Targets, errors, scales, tempered
from model import save
from train import Gradients


@pytest.fixture
def atoms():
    atoms = structures.load("MOF-5")
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + np.diag([0.01, -0.02, 0.005])), scale_atoms=True)
    atoms.rattle(0.05, seed=1)
    return atoms


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_the_reordered_evaluation_is_maces_own(atoms, double):
    calculator = MaceMOF("mini")
    fast = FastMACE(calculator.loaded[0].module)
    graph = fast.graph(fast.neighbours(atoms))
    found = fast.evaluate(graph)
    atoms.calc = calculator
    moved = atoms.copy()
    moved.rattle(0.01, seed=2)
    difference = (fast.evaluate(fast.graph(fast.neighbours(moved))).energy - found.energy).item()
    assert difference == pytest.approx(calculator.get_potential_energy(moved) - atoms.get_potential_energy(), abs=1e-8)
    assert_allclose(-found.gradient.detach().numpy(), atoms.get_forces()[graph.order], atol=1e-9)
    assert_allclose(found.stress[0].detach().numpy(), atoms.get_stress(voigt=False), atol=1e-10)


def test_joined_cells_evaluate_as_each_alone(atoms, double):
    fast = FastMACE(MaceMOF("mini").loaded[0].module)
    cells = [atoms, atoms.copy(), structures.load("MOF-5")]
    cells[1].rattle(0.1, seed=3)
    found = [fast.neighbours(cell) for cell in cells]
    widths = np.max([each.widths() for each in found], axis=0)
    together = join([fast.graph(each, widths=widths) for each in found])
    alone = [fast.graph(each) for each in found]
    joint, apart = fast.evaluate(together), [fast.evaluate(graph) for graph in alone]
    assert_allclose(joint.energy.detach(), torch.cat([each.energy for each in apart]).detach(), rtol=1e-12)
    assert_allclose(joint.stress.detach(), torch.cat([each.stress for each in apart]).detach(), atol=1e-12)
    gradients = join_atoms(alone[0].groups, [each.gradient for each in apart])
    assert_allclose(joint.gradient.detach(), gradients.detach(), atol=1e-11)


def test_the_product_with_the_hessian_is_the_slope_of_the_forces(atoms, double):
    fast = FastMACE(MaceMOF("mini").loaded[0].module)
    graph = fast.graph(fast.neighbours(atoms), curvature=True)
    direction = np.random.default_rng(0).normal(size=(len(atoms), 3))
    product = fast.product(graph, fast.evaluate(graph, train=True), torch.as_tensor(direction[graph.order]))
    gradients = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions += sign * 1e-4 * direction
        gradients.append(fast.evaluate(fast.graph(fast.neighbours(moved))).gradient.detach().numpy())
    slope = (gradients[0] - gradients[1]) / 2e-4
    assert_allclose(product.detach().numpy(), slope, atol=1e-6 * np.abs(slope).max())


def test_the_curvature_loss_vanishes_for_the_models_own_hessian(double):
    atoms = structures.load("MIL-53")[:12]
    atoms.set_cell(np.eye(3) * 12)
    fast = FastMACE(MaceMOF("mini").loaded[0].module)
    graph = fast.graph(fast.neighbours(atoms), curvature=True)
    found = fast.evaluate(graph, train=True)
    columns = [fast.product(graph, found, unit.view(-1, 3)).ravel() for unit in torch.eye(3 * len(atoms))]
    back = (3 * np.argsort(graph.order.numpy())[:, None] + np.arange(3)).ravel()
    hessian = torch.stack(columns, dim=1).detach().numpy()[np.ix_(back, back)]
    scale, generator = Scales(1.5, 0.01, 0.001, 2e-4), torch.Generator().manual_seed(0)
    amplitudes = torch.randn(3 * len(atoms) - 3, generator=generator)
    own = Minimum(diagonalise(atoms, hessian), fast).losses(fast, amplitudes, scale)["curvature"]
    other = Minimum(diagonalise(atoms, 1.1 * hessian), fast)
    assert own < 1e-12
    assert other.losses(fast, amplitudes, scale)["curvature"].sqrt().item() == pytest.approx(0.1 / 1.1, rel=0.3)


def test_the_gradients_of_a_step_are_the_slope_of_its_losses(double):
    rng = np.random.default_rng(0)
    atoms = structures.load("MIL-53")[:12]
    atoms.set_cell(np.eye(3) * 12)
    model = MaceMOF("mini").loaded[0].module.requires_grad_(True)
    fast = FastMACE(model)
    frames = [atoms.copy(), atoms.copy()]
    for k, frame in enumerate(frames):
        frame.rattle(0.05, seed=k)
        frame.info.update(name="MIL-53", kind="thermal")
        labels = {"energy": 1.0 + k, "forces": rng.normal(size=(12, 3)), "stress": 0.01 * rng.normal(size=6)}
        frame.calc = SinglePointCalculator(frame, **labels)
    hessian = rng.normal(size=(36, 36))
    minimum = Minimum(diagonalise(atoms, hessian), fast)
    targets = Targets(frames, dict.fromkeys(atoms.numbers, 0.0), fast)
    step = Gradients(fast, minimum, targets)
    draw = torch.randn(33, generator=torch.Generator().manual_seed(0)), [0, 1], Scales(7.0, 0.1, 0.05, 5e-3)

    pieces = step(*draw)
    losses = minimum.losses(fast, draw[0], draw[2]) | errors(fast, *targets.joined(draw[1]), draw[2])
    assert list(losses) == list(WEIGHTS)  # the order in which the log names them
    means = torch.stack([value.detach().mean() for value in losses.values()])
    assert_allclose(torch.cat([found for found, _ in pieces]), means, rtol=1e-12)
    slope = sum(derivatives for _, derivatives in pieces)

    def total(move):
        with torch.no_grad():
            torch.nn.utils.vector_to_parameters(before + move, model.parameters())
        losses = minimum.losses(fast, draw[0], draw[2]) | errors(fast, *targets.joined(draw[1]), draw[2])
        return sum((WEIGHTS[name] * tempered(value)).item() for name, value in losses.items())

    before = torch.nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    move = 1e-6 * slope / slope.norm()
    assert (total(move) - total(-move)) / 2e-6 == pytest.approx(float(slope.norm()), rel=1e-5)


def test_the_record_of_its_domain_is_of_the_frameworks_on_its_card():
    reference = find_reference(load("mini"))
    trained = [name for name in FRAMEWORKS if name in get_card("mini").notes]
    elements = {symbol for name in trained for symbol in structures.load(name).symbols}
    assert trained
    assert set(reference.environments) == elements


def test_labels_survive_the_archive_and_an_unpacking_that_was_cut_short(tmp_path, monkeypatch):
    def cut_short(tar, path, **options):
        tar.extract(tar.getmembers()[0], path, **options)
        raise KeyboardInterrupt

    def files(folder):
        return sorted(path.relative_to(folder) for path in folder.rglob("*.extxyz"))

    monkeypatch.setattr(archive, "ARCHIVE", tmp_path / "labels.tar.xz")
    work, again = tmp_path / "work", tmp_path / "again"
    for name in ("minima/MIL-53", "labels/MIL-53/train-soft-0000"):
        path = work / f"{name}.extxyz"
        path.parent.mkdir(parents=True)
        structures.load("MIL-53").write(path)
    archive.store(work)
    with monkeypatch.context() as patch:
        patch.setattr("tarfile.TarFile.extractall", cut_short)
        with pytest.raises(KeyboardInterrupt):
            archive.restore(again)
    assert files(again) == []
    with monkeypatch.context() as patch:
        patch.setattr(archive, "FOLDERS", archive.FOLDERS[:1])
        archive.restore(again)
    assert files(again) != files(work)
    assert archive.restore(again)
    assert files(again) == files(work)
    assert not archive.restore(again)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--frameworks MOF-6", "invalid choice: 'MOF-6'"),
        ("--device gpu", "There is no device 'gpu'"),
        ("--device auto --workers 2", "one process trains on auto"),
        ("--relabel", "holds the labels that lie here already"),
    ],
)
def test_bad_options_are_refused_before_any_work(line, message, tmp_path, monkeypatch, capsys):
    (tmp_path / "labels").mkdir()
    monkeypatch.setattr(sys, "argv", ["build.py", "--work", str(tmp_path), *line.split()])
    with pytest.raises(SystemExit) as stopped:
        build.parse()
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_hessians_are_made_of_the_labels_that_are_there(tiny_labels, monkeypatch):
    def unwanted():
        raise AssertionError("labelled anew")

    (tiny_labels / "hessians" / "tiny.npz").unlink()
    springs = LennardJones(sigma=1.8, epsilon=0.5, rc=3.1, smooth=True)
    atoms = read(tiny_labels / "minima" / "tiny.extxyz")
    phonon = setup(atoms, FRAMEWORKS["tiny"].repeat)
    for i, supercell in enumerate(phonon.supercells_with_displacements):
        displaced = from_phonopy(supercell)
        displaced.calc = springs
        displaced.get_forces()
        write(tiny_labels / "labels" / "tiny" / f"train-difference-{i:04d}.extxyz", displaced)
    monkeypatch.setattr(hessian, "RepeatedGFN1", unwanted)
    found = load_all(tiny_labels)["tiny"].hessian
    column = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[1, 2] += 0.01 * sign
        column.append(springs.get_forces(moved).ravel())
    assert_allclose(found[:, 5], (column[1] - column[0]) / 0.02, atol=1e-3 * np.abs(found).max())


@pytest.fixture
def tiny_labels(tmp_path, monkeypatch):
    """Labels of a made-up crystal, the only one there is."""
    for name in list(FRAMEWORKS):
        monkeypatch.delitem(FRAMEWORKS, name)
    monkeypatch.setitem(FRAMEWORKS, "tiny", Framework("tiny", 186, (3.25, 3.25, 5.2, 90, 90, 120), (), natoms=4))
    rng = np.random.default_rng(0)
    for folder in ("minima", "hessians", "labels/tiny"):
        (tmp_path / folder).mkdir(parents=True)
    atoms = bulk("ZnO", "wurtzite", a=3.25, c=5.2)
    atoms.calc = SinglePointCalculator(atoms, energy=-10.0)
    for tag in ("tiny", "tiny-saddle"):
        write(tmp_path / "minima" / f"{tag}.extxyz", atoms)
    free = [Atoms(numbers=[z]) for z in ELEMENTS]
    for atom in free:
        atom.calc = SinglePointCalculator(atom, energy=-1.0)
    write(tmp_path / "minima" / "atoms.extxyz", free)
    np.savez(tmp_path / "hessians" / "tiny.npz", hessian=np.diag(rng.uniform(5.0, 20.0, 12)))
    for purpose in ("train", "test"):
        for k in range(3):
            frame = atoms.copy()
            frame.rattle(0.05, seed=k)
            frame.info.update(name="tiny", kind="rattle")
            labels = {"energy": -10.0, "forces": rng.normal(size=(4, 3)), "stress": 0.01 * rng.normal(size=6)}
            frame.calc = SinglePointCalculator(frame, **labels)
            write(tmp_path / "labels" / "tiny" / f"{purpose}-rattle-000{k}.extxyz", frame)
    return tmp_path


@pytest.mark.filterwarnings("ignore:The TorchScript type system:UserWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_training_that_was_stopped_ends_as_if_it_had_not_been(tiny_labels, monkeypatch):
    steps = []

    def counted(progress):
        steps.append(progress)
        return scales(progress)

    def run(name):
        steps.clear()
        stage = train.Stage(name, {"tiny": 1.0}, 4, (1e-3, 1e-3), (0.0, 0.5), batch=2, channels=4)
        cpu = torch.device("cpu")
        try:
            train._train(0, 1, tiny_labels / f"{time.time_ns()}", stage, None, tiny_labels, tiny_labels / "log", cpu)
        finally:
            if distributed.is_initialized():
                distributed.destroy_process_group()
        return len(steps)

    def save_and_stop(path, content):
        save(path, content)
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "CHECKPOINT_EVERY", 2)
    monkeypatch.setattr(train, "scales", counted)
    assert run("whole") == 4
    with monkeypatch.context() as patch:
        patch.setattr(train, "save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            run("stopped")
    assert not (tiny_labels / "models" / "stopped.pt").exists()
    assert run("stopped") == 2
    one, other = (
        torch.load(tiny_labels / "models" / f"{name}.pt", weights_only=True)["state_dict"]
        for name in ("whole", "stopped")
    )
    for name, tensor in one.items():
        assert_allclose(other[name], tensor, rtol=1e-6, atol=1e-8)
