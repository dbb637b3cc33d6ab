"""ASE calculators for phonons of metal-organic frameworks: MACE-MP-MOF0 and its comparators."""
