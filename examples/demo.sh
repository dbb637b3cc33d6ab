#!/bin/sh
# Phonons of MOF-5 with the embedded model mini, from relaxation to thermal properties. `make demo` runs it.
set -eu
mkdir -p demo
cd demo
python -c "from mace_mof_calc import structures; structures.load('MOF-5').write('MOF-5.cif')"
phonopy --mlp mini MOF-5.cif --relax --dim 2 2 2 --mesh 11 11 11 --band auto --dos -t -q --figure phonons.png
