"""Equations of state: energies at fixed volumes, and the function through them."""

from phonopy_mlp.eos.fit import EosFit, fit_eos
from phonopy_mlp.eos.volumes import EosResult, run_eos

__all__ = ["EosFit", "EosResult", "fit_eos", "run_eos"]
