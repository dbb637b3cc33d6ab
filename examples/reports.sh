#!/bin/sh
# The reports in docs/reports, on the embedded model mini: MOF-5, and MIL-53, whose symmetric form is not stable.
# Ten minutes on one core; the runs themselves stay in build/reports. mini is small and stands in for
# the published models: nothing here is a result on these materials.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$root/build/reports/MOF-5" "$root/build/reports/MIL-53" "$root/docs/reports"

cd "$root/build/reports/MOF-5"
python -c "from mace_mof_calc import structures; structures.load('MOF-5').write('MOF-5.cif')"
phonopy-mlp run --mlp mini MOF-5.cif --relax --stabilise --dim 2 2 2 -t --tmax 200 --eos --elastic --elastic-method both \
    --qha --qha-strain 0.0045 --qha-imaginary exclude --report

# MIL-53 as it is distributed is a distortion of the orthorhombic form, which symmetrising makes again.
cd "$root/build/reports/MIL-53"
python -c "
from mace_mof_calc import structures
from phonopy_mlp.symmetry import symmetrise
symmetrise(structures.load('MIL-53'), 0.5).write('MIL-53.cif')"
phonopy-mlp run --mlp mini MIL-53.cif --relax --fix-symmetry --relax-fmax 1e-5 --dim 1 2 1 -t
phonopy-mlp stabilise --mlp mini relaxed.cif --relax-fmax 1e-5 --dim 1 1 1 --report

for name in MOF-5 MIL-53; do
    cp "$root/build/reports/$name/report.html" "$root/docs/reports/$name.html"
done
