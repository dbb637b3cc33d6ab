"""Comparison of frequencies, densities of states, structures, and energies and forces."""

from phonopy_mlp.compare.dos import DosComparison, compare_total_dos, read_total_dos
from phonopy_mlp.compare.frequencies import FrequencyComparison, compare_bands, compare_frequencies
from phonopy_mlp.compare.labels import LabelComparison, compare_labels
from phonopy_mlp.compare.matching import CrystalMatch, match_crystals
from phonopy_mlp.compare.structures import StructureComparison, compare_structures

__all__ = [
    "CrystalMatch",
    "DosComparison",
    "FrequencyComparison",
    "LabelComparison",
    "StructureComparison",
    "compare_bands",
    "compare_frequencies",
    "compare_labels",
    "compare_structures",
    "compare_total_dos",
    "match_crystals",
    "read_total_dos",
]
