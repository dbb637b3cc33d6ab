#!/bin/sh
# Rebuild the embedded model `mini` from the labels that lie here, or with --relabel from crystallographic facts alone.
#
#     sh training/mini/build.sh [--relabel] [FOLDER]
#
# Stop it at any time and start it again. The commands of this repository must be on the path (. .venv/bin/activate).
# DEVICE=cuda trains on a GPU; STEPS=... trains for longer or shorter, and DRAWS=2 takes half of the time on a CPU.
set -e
here=$(cd "$(dirname "$0")" && pwd)
relabel=no
if [ "$1" = --relabel ]; then relabel=yes; shift; fi
folder=${1:-build/mini}
mkdir -p "$folder"
cd "$folder"
# Keep freed memory, and back it with large pages: page faults slow training down otherwise.
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000 MALLOC_TOP_PAD_=500000000
export GLIBC_TUNABLES=glibc.malloc.hugetlb=1 OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"

# Frames whose labels fail are listed, and status 1 says that there are some.
label() {
    status=0
    mace-mof label "$1" -o "$2" --calculator gfn1-xtb --workers 2 $3 || status=$?
    [ $status -le 1 ]
    [ -e "$2" ]
}

if [ $relabel = yes ]; then
    python "$here/cells.py" start minima
    for cif in minima/*/*.cif; do
        name=$(basename "$cif" .cif)
        [ -e "minima/$name/$name.cif" ] && [ ! -e "minima/$name/stabilised.cif" ] || continue
        (cd "minima/$name" && phonopy-mlp run --mlp gfn1-xtb "$name.cif" --dim 1 1 1 --relax --relax-fmax 1e-4 \
            --symmetrise --stabilise)
    done
    python "$here/cells.py" collect minima
    mace-mof label minima/cells.extxyz -o hessians.extxyz --calculator gfn1-xtb --workers 2 --hessians
    python "$here/cells.py" reduce .
    # MOF-5, the first with its 106 atoms, gets twice as many frames as the others, and is drawn twice as often.
    head -n 108 hessians.extxyz > first.extxyz
    tail -n +109 hessians.extxyz > others.extxyz
    how="--as-given --calculator gfn1-xtb --kind rattle,phonons,equal,mixed --rms 0.02,0.03,0.03,0.05,0.1"
    how="$how --rattle-sigma 0.03 --rattle-strain 0.015"
    mace-mof sample first.extxyz -o sampled-first.extxyz $how \
        --phonon-frames 50 --equal-frames 40 --mixed-frames 48 --rattle-frames 80
    mace-mof sample others.extxyz -o sampled-others.extxyz $how \
        --phonon-frames 25 --equal-frames 20 --mixed-frames 24 --rattle-frames 40
    mace-mof sample hessians.extxyz -o held-out.extxyz --as-given --calculator gfn1-xtb --kind phonons,equal --rms 0.03 \
        --phonon-frames 10 --equal-frames 5 --seed 3
    cat sampled-first.extxyz sampled-others.extxyz > sampled.extxyz
    label sampled.extxyz labelled.extxyz --isolated-atoms
    label held-out.extxyz unseen.extxyz
    python "$here/archive.py" . --store
fi
python "$here/archive.py" .

mace-mof finetune labelled.extxyz --hessians hessians.extxyz --name trained --foundation none --no-register \
    --steps "${STEPS:-5500}" --draws "${DRAWS:-4}" --device "${DEVICE:-cpu}" --level-of-theory "GFN1-xTB (tblite, Gamma point)" --dispersion
python "$here/evaluate.py" trained/trained.json evaluation
python "$here/pack.py" trained/trained.json evaluation/acceptance.json
