#!/bin/sh
# The figures in docs/figures, drawn anew with the embedded model: half an hour on two cores, most of it for the
# self-consistent phonons.
#
#     sh examples/figures.sh [folder]
#
# The commands of this repository must be on the path (. .venv/bin/activate).
set -e
figures=$(pwd)/docs/figures
examples=$(pwd)/examples
mkdir -p "${1:-build/figures}"
cd "${1:-build/figures}"

sh "$examples/demo.sh"
cp demo/phonons.png "$figures/mof5-mini.png"

mkdir -p eos
(
    cd eos
    python -c "from mace_mof_calc import structures; structures.load('MOF-5').write('MOF-5.cif')"
    phonopy-mlp eos --mlp mini MOF-5.cif --relax
    cp eos.png "$figures/eos-mof5-mini.png"
)

python "$examples/qha_mof5.py" qha
cp qha/free_energies.png "$figures/free-energies-mof5-mini.png"
cp qha/qha.png "$figures/qha-mof5-mini.png"
cp qha/bulk_modulus-temperature.png "$figures/bulk-modulus-mof5-mini.png"

python "$examples/sscha_mof5.py" sscha
cp sscha/sscha.png "$figures/sscha-mof5-mini.png"

python "$examples/tensor_mof74.py" tensor
cp tensor/expansion.png "$figures/expansion-mof74-mini.png"
