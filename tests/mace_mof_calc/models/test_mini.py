"""The model that ships with the package: that it is the one its card describes, and small."""

from mace_mof_calc.models.cards import EMBEDDED_DIRECTORY, get_card
from mace_mof_calc.models.fingerprints import verify

LARGEST = 2 * 2**20  # bytes
# What training/mini/evaluate.py has a limit for.
CRITERIA = {
    "MOF-5: largest force at the model's minimum (eV/A)": "at most 1e-05",
    "MOF-5: largest deviation of a cell length (%)": "at most 0.5",
    "MOF-5: Gamma frequencies, RMSD (THz)": "at most 0.5",
    "MOF-5: Gamma, RMSD below 20 THz (THz)": "at most 0.25",
    "MOF-5: lowest mode at the 8 commensurate q-points of 2x2x2 (THz)": "at least 0",
    "MOF-5 thermal: forces RMSE over forces rms (%)": "at most 4",
    "UiO-66: largest force at the model's minimum (eV/A)": "at most 1e-05",
    "UiO-66: largest deviation of a cell length (%)": "at most 0.5",
    "MOF-74: largest force at the model's minimum (eV/A)": "at most 1e-05",
    "MIL-53: largest force at the model's minimum (eV/A)": "at most 1e-05",
    "HKUST-1: largest force at the model's minimum (eV/A)": "at most 1e-05",
    "Mg-MOF-74: largest force at the model's minimum (eV/A)": "at most 1e-05",
    "MIL-47(Ti): largest force at the model's minimum (eV/A)": "at most 1e-05",
    "DMOF-1: largest force at the model's minimum (eV/A)": "at most 1e-05",
}


def test_it_gives_what_was_recorded_when_it_was_packed():
    outcome = verify("mini", device="cpu")
    assert outcome.passed, outcome
    assert outcome.structure == "MOF-5, 106 atoms"


def test_it_is_small():
    sizes = [(EMBEDDED_DIRECTORY / f"mini.{suffix}").stat().st_size for suffix in ("json", "safetensors")]
    assert sum(sizes) <= LARGEST


def test_every_criterion_is_met():
    rows = [row for row in get_card("mini").validation if row.criterion is not None]
    assert {row.quantity: row.criterion for row in rows} == CRITERIA
    assert [row.quantity for row in rows if row.met is not True] == []
