"""A calculator that takes no time, by name, and what a publication might have of it."""

import lzma

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write
from toys import EDGE

from phonopy_mlp.force_constants import compute_force_constants, make_phonopy
from phonopy_mlp.phonons import compute_phonons


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Name of a registered calculator, which processes that are started know as well."""
    folder = tmp_path_factory.mktemp("distribution")
    info = folder / "toy_calculators-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-calculators\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[phonopy_mlp.calculators]\ntoy = toys:emt\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield "toy"


@pytest.fixture(scope="module")
def crystals(tmp_path_factory):
    """Files of a cubic crystal, in a cell that is not primitive, and of a tetragonal one."""
    folder = tmp_path_factory.mktemp("crystals")
    write(folder / "Cu.cif", bulk("Cu", cubic=True))
    layers = Atoms("CuAu", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=[2.8, 2.8, 3.7], pbc=True)
    write(folder / "CuAu.cif", layers)
    return folder


@pytest.fixture(scope="module")
def publication(tmp_path_factory):
    """A folder of reference data of copper, made like that of the paper."""
    folder = tmp_path_factory.mktemp("published")
    for name in ("structures", "paper_tables", "phonons/DFT_DOS", "phonons/Cu/mof0"):
        (folder / name).mkdir(parents=True)
    write(folder / "structures/Cu_optimized_5methods.extxyz", [bulk("Cu", a=EDGE + 0.01 * k) for k in range(5)])
    for name, text in _TABLES.items():
        (folder / "paper_tables" / f"{name}.csv").write_text(text)
    # The cell by MACE-MP-MOF0.
    phonon = make_phonopy(bulk("Cu", a=EDGE + 0.03), np.diag([2, 2, 2]))
    phonons = compute_phonons(compute_force_constants(phonon, EMT()).phonon, mesh=(5, 5, 5))
    dos = np.column_stack([phonons.frequency_points, phonons.total_dos])
    for name in ("DFT_DOS/Cu-total_dos.dat.xz", "Cu/mof0/dos.dat.xz"):
        with lzma.open(folder / "phonons" / name, "wt") as file:
            np.savetxt(file, dos, header="Tetrahedron method", fmt="%20.10f")
    columns = (phonons.temperatures, phonons.heat_capacity, phonons.free_energy, phonons.entropy)
    np.savetxt(folder / "phonons/Cu/mof0/thermal.dat", np.column_stack(columns))
    bands = phonons.bands
    np.savez(
        folder / "phonons/Cu/mof0/bands.npz",
        q=np.concatenate(bands.qpoints),
        frequency=np.concatenate(bands.frequencies),
        segment_nqpoint=[len(segment) for segment in bands.qpoints],
        labels=[["Gamma", "X"]] * len(bands.qpoints),
    )
    return folder


_TABLES = {
    "table2_cells": "method,mof,space_group,a,b,c,alpha,beta,gamma,n_disp\nDFT,Cu,Fm-3m,2.5,2.5,2.5,60,60,60,1\n",
    "table4_rmsd_70_out_of_sample": "model,rmsd_energy_eV,rmsd_energy_meV_per_atom,rmsd_forces_eV_per_A,"
    "rmsd_stress_meV_per_A3\nMACE-MP-MOF0,0.8,12,0.1,1.1\n",
    "table5_phonon_rmsd_THz": "mof,MACE_MP_MOF0_v2,MACE_MP_MOF0,MTP,VASP_MLP\nCu,0.1,0.2,0.3,0.4\n",
    "table6_cte_1e-6_per_K": "mof,T_K,MACE_MP_MOF0_v2,DFT,simulation,experiment\nCu,300,1,2,3,4 to 5\n",
    "NegativeThermalExpansion": "Temperature,Cu x 10^(6) K^-1\n0,0\n300,1\n",
    "fig6a_bulk_modulus_DFT": "mof,node,dft (GPa),MACE-MP-MOF0,MACE-MP-MOF0-v2,,ref dft\nCu,,130,131,132,1,SELF\n",
    "fig6b_bulk_modulus_exp_DFT": "mof,node,DFT (GPa),Experiment (GPa),MACE-MP-MOF0 (GPa),MACE-MP-MOF0-v2 (GPa)\n"
    "Cu,,130,137,131,132\nAg,,90,101,91,92\n",
}
