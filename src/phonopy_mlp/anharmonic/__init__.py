"""Beyond the quasi-harmonic approximation: phonons that reproduce themselves at a temperature."""

from phonopy_mlp.anharmonic.sscha import SschaPoint, SschaResult, run_sscha

__all__ = ["SschaPoint", "SschaResult", "run_sscha"]
