"""Elastic constants, from stresses of strained cells and from long acoustic waves."""

from phonopy_mlp.elasticity.long_wave import elastic_from_phonons
from phonopy_mlp.elasticity.result import ElasticResult, Moduli
from phonopy_mlp.elasticity.stress_strain import run_elasticity

__all__ = ["ElasticResult", "Moduli", "elastic_from_phonons", "run_elasticity"]
