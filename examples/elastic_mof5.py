"""Elastic constants and equation of state of MOF-5 with the embedded model mini, three ways beside one another.

Stresses of strained cells, long acoustic waves from the force constants of a 2x2x2 supercell, and energies at seven
volumes, once over 6 % and once over 1.5 %: no equation of state follows those of a framework over 6 %.
Minutes on one core; what is finished survives a kill. The figure is written to ``eos.png``.
"""

from pathlib import Path

import numpy as np

from mace_mof_calc import structures
from phonopy_mlp.elasticity import ElasticResult, elastic_from_phonons, run_elasticity
from phonopy_mlp.eos import run_eos
from phonopy_mlp.force_constants import compute_force_constants, make_phonopy
from phonopy_mlp.plot import plot_eos, write_figure
from phonopy_mlp.registry import get_calculator
from phonopy_mlp.relax import relax
from phonopy_mlp.unfinished import Unfinished


def cubic_constants(result: ElasticResult) -> dict[str, float]:
    """Return what MOF-5 has of independent constants, and its bulk modulus, in GPa."""
    stiffness = result.standard_stiffness
    return {"C11": stiffness[0, 0], "C12": stiffness[0, 1], "C44": stiffness[3, 3], "B": result.hill.bulk}


def main() -> None:
    """Compute all of it, and print it side by side."""
    calculator = get_calculator("mini")
    unfinished = Unfinished(Path("elastic_mof5_unfinished"), model="mini")
    atoms = relax(structures.load("MOF-5"), calculator, fmax=1e-6).atoms

    strained = run_elasticity(atoms, calculator, unfinished=unfinished)
    phonon = make_phonopy(atoms, 2 * np.eye(3, dtype=int))
    phonon = compute_force_constants(phonon, calculator, unfinished=unfinished).phonon
    atoms.calc = calculator
    waves = elastic_from_phonons(phonon, stress=atoms.get_stress())
    eos = run_eos(atoms, calculator, unfinished=unfinished)
    narrow = run_eos(atoms, calculator, strain=0.005, unfinished=unfinished).fit

    print(f"{'GPa':16}{'stress-strain':>14}{'long waves':>14}{'difference':>12}")
    for (name, one), other in zip(cubic_constants(strained).items(), cubic_constants(waves).values(), strict=True):
        print(f"{name:16}{one:14.4f}{other:14.4f}{100 * (other / one - 1):10.3f} %")
    fit = eos.primitive_fit
    for strain, own in ((0.02, fit), (0.005, narrow)):
        print(f"B, {own.eos}, lengths +-{100 * strain:g} %: {own.bulk_modulus:.4f} +- {own.bulk_modulus_error:.4f}")
    print(f"V0 {fit.volume:.3f} +- {fit.volume_error:.3f} A^3, B' {fit.derivative:.2f} +- {fit.derivative_error:.2f}")
    print(f"residuals of the fit: {1e3 * fit.residual_rms:.4f} meV per primitive cell")
    low, *_, high = 100 * eos.primitive_volumes / fit.volume - 100
    print(f"volumes: {low:+.1f} to {high:+.1f} %")
    print(f"residual stress {1e3 * strained.residual_stress:.4f} MPa")
    changes = " and ".join(f"{result.projection_change:.1e}" for result in (strained, waves))
    print(f"averaging over the point group changed {changes} GPa")
    print(f"antisymmetric part of stress over strain: {strained.fit_residual:.1e} GPa")
    print(f"elastically stable: {strained.born_stable} (least eigenvalue {strained.eigenvalues[0]:.3f} GPa)")
    hill = strained.hill
    print(f"Hill: G {hill.shear:.3f}, E {hill.young:.3f} GPa, nu {hill.poisson:.3f}")
    print(f"A^U {strained.universal_anisotropy:.2f}")
    write_figure(plot_eos(eos, "MOF-5, mini"), Path("eos.png"))
    unfinished.remove()


if __name__ == "__main__":
    main()
