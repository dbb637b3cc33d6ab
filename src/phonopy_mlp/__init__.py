"""phonopy on any ASE calculator."""
