from datetime import UTC, datetime

import numpy as np
import pytest

from phonopy_mlp.errors import SettingsError
from phonopy_mlp.provenance import PROVENANCE_FILE, Provenance, read_provenance, write_provenance

RECORD = Provenance(
    command=("phonopy", "--mlp", "mini"),
    started=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    settings={"supercell_matrix": np.diag([2, 2, 2]), "relax_fmax": np.float64(1e-6)},
    input={"file": "MOF-5.cif", "atoms": 106},
    calculator={"name": "mini", "elements": ("H", "C"), "stand_in": True},
    steps={"relax": {"seconds": 1.5}},
    warnings=("one",),
)


def test_a_record_is_read_back_as_it_was_written(tmp_path):
    write_provenance(RECORD, tmp_path / PROVENANCE_FILE)
    record = read_provenance(tmp_path)
    assert record["command"] == ["phonopy", "--mlp", "mini"]
    assert record["settings"] == {"supercell_matrix": [[2, 0, 0], [0, 2, 0], [0, 0, 2]], "relax_fmax": 1e-6}
    assert record["calculator"]["elements"] == ["H", "C"]
    assert record["started"] == "2026-01-02T03:04:05+00:00"
    assert {"python", "phonopy", "ase"} <= set(record["versions"])


def test_no_record_is_none(tmp_path):
    assert read_provenance(tmp_path) is None


@pytest.mark.parametrize("content", ["{", "[1, 2]", "phonopy_mlp: 3", "!!python/object/apply:os.system ['true']"])
def test_a_file_that_is_no_record_is_refused(tmp_path, content):
    (tmp_path / PROVENANCE_FILE).write_text(content)
    with pytest.raises(SettingsError, match="not a record"):
        read_provenance(tmp_path)
