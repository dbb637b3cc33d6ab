#!/bin/sh
# The tables in docs/results, made anew with the embedded model: half an hour on one core.
#
#     sh examples/tables.sh [folder]
#
# The commands of this repository must be on the path (. .venv/bin/activate).
set -e
results=$(pwd)/docs/results
examples=$(pwd)/examples
mkdir -p "${1:-build/tables}/MIL-53-Gamma" "${1:-build/tables}/MIL-53-fixed"
cd "${1:-build/tables}"

(cd MIL-53-Gamma && python "$examples/stabilise_mil53.py")
python "$examples/trail_table.py" MIL-53-Gamma/stabilised.yaml "$results/stabilise-mil53.csv"

(cd MIL-53-fixed && python "$examples/stabilise_mil53.py" --dim 1 2 1 --cell fixed)
python "$examples/trail_table.py" MIL-53-fixed/stabilised.yaml "$results/stabilise-mil53-fixed.csv"

sh "$examples/stabilise_mof5.sh" MOF-5
python "$examples/trail_table.py" MOF-5/phonopy_mlp-stabilise.yaml "$results/stabilise-mof5.csv"
