#!/bin/sh
# MOF-5 with the embedded model in 2 % less volume: its linkers buckle at the zone boundary, and the cell doubles.
#
#     sh examples/stabilise_mof5.sh [folder]
#
# Some minutes. What remains unstable in the fixed cell is told in the end.
set -e
mkdir -p "${1:-stabilise-MOF-5}"
cd "${1:-stabilise-MOF-5}"
python -c "
from mace_mof_calc import structures
atoms = structures.load('MOF-5')
atoms.set_cell(atoms.cell * 0.98 ** (1 / 3), scale_atoms=True)
atoms.write('squeezed.cif')
"
phonopy-mlp stabilise --mlp mini squeezed.cif --dim 2 2 2 --relax-cell fixed --stabilise-methods follow
