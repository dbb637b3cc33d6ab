"""Beyond the quasi-harmonic approximation: phonons that reproduce themselves at a temperature."""

from phonopy_mlp.anharmonic.result import SschaPoint, SschaResult
from phonopy_mlp.anharmonic.sscha import run_sscha

__all__ = ["SschaPoint", "SschaResult", "run_sscha"]
