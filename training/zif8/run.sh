#!/bin/sh
# The way from crystals to a model, from end to end: `mini` learns ZIF-8, whose imidazolates it has never seen, and is
# tried on SALEM-2, the same net with another linker.
#
#     sh training/zif8/run.sh [--relabel] [folder]
#
# The labels lie here; with --relabel GFN1-xTB makes them anew, in a folder of its own, and those that lie here are
# replaced. Stop it at any time and start it again. The commands of this repository must be on the path
# (. .venv/bin/activate), with the extra training, and xtb for --relabel. The folder's table.csv and table.png are the
# result, and times.csv has what each part of each call took, but for calls that were killed. DEVICE=cuda trains on a GPU.
set -e
here=$(cd "$(dirname "$0")" && pwd)
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}"
# Keep freed memory, and back it with large pages: page faults slow training down otherwise.
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000 MALLOC_TOP_PAD_=500000000
export GLIBC_TUNABLES=glibc.malloc.hugetlb=1
relabel=no
if [ "$1" = --relabel ]; then relabel=yes; shift; fi
folder=${1:-build/zif8}
python "$here/prepare.py" "$folder" crystals
cd "$folder"
[ -e relabel ] || echo $relabel > relabel
if [ "$(cat relabel)" != $relabel ]; then
    echo "$folder was begun $([ $relabel = yes ] && echo without || echo with) --relabel: labels of both must not mix." \
        "Go on as it was begun, or name another folder." >&2
    exit 2
fi
[ -e times.csv ] || echo "part,seconds" > times.csv
begun=$(date +%s)
# What a part took, which has ended now.
tell() {
    now=$(date +%s)
    echo "$1,$((now - begun))" >> times.csv
    begun=$now
}

if [ $relabel = yes ]; then
    # Phonons by the method that is to be learnt. tblite samples the Gamma point alone, and forces converge to 1e-4 eV/A.
    for crystal in zif-8 salem-2; do
        [ ! -e reference/$crystal/done ] || continue
        mkdir -p reference/$crystal
        (cd reference/$crystal && phonopy-mlp run --mlp gfn1-xtb ../../$crystal.extxyz --relax --relax-fmax 1e-4 \
            --symmetrise --dim 1 1 1 --mesh 1 1 1 && touch done)
    done
    python "$here/prepare.py" . minima

    # What is learnt: the Hessian of ZIF-8, and frames along its modes. What is tried: molecular dynamics and strains of
    # ZIF-8, and SALEM-2. Frames whose labels fail are listed, and status 1 says that there are some.
    label() {
        status=0
        mace-mof label "$1.extxyz" -o "$1-labelled.extxyz" --calculator gfn1-xtb --workers 2 || status=$?
        [ $status -le 1 ]
        [ -e "$1-labelled.extxyz" ]
    }
    mace-mof label zif-8-minimum.extxyz -o zif-8-hessian.extxyz --calculator gfn1-xtb --workers 2 --hessians
    given="--as-given --calculator gfn1-xtb"
    mace-mof sample zif-8-hessian.extxyz -o learnt.extxyz $given --kind rattle,phonons,equal,mixed --rattle-sigma 0.03 \
        --rms 0.02,0.03,0.05,0.1 --rattle-frames 20 --phonon-frames 16 --equal-frames 12 --mixed-frames 16
    mace-mof sample zif-8-minimum.extxyz -o unseen.extxyz $given --kind strain,md --strain -0.03 0.03 \
        --steps 100 --every 10 --timestep 1 --md-frames 10
    mace-mof sample salem-2-minimum.extxyz -o held-out.extxyz $given --kind strain,rattle --strain -0.03 0.03 \
        --rattle-frames 14
    for frames in learnt unseen held-out; do label $frames; done
    python "$here/prepare.py" . store
    tell labels
fi
python "$here/prepare.py" . labels
cat zif-8-hessian.extxyz replay-hessians.extxyz > hessians.part
mv hessians.part hessians.extxyz

# What is new is nitrogen in a ring. What the network has for nitrogen alone is trained, and so all frameworks without it
# stay as they were; the one that has it, in an amine, is replayed. Labels of both are of one kind, and so one head learns
# them.
export MACE_MOF_MODELS="$PWD/models"
OMP_NUM_THREADS=1 mace-mof finetune learnt-labelled.extxyz replay.extxyz --foundation mini --name mini-zif8 \
    --level-of-theory GFN1-xTB --hessians hessians.extxyz --elements N --device "${DEVICE:-cpu}" \
    --steps 1500 --rates 3e-2 1e-5 --tighten 0 0.5
tell training

for model in mini mini-zif8; do
    mkdir -p $model-evaluated
    mace-mof evaluate old.extxyz --model $model -o $model-evaluated/old
    for crystal in zif-8 salem-2; do
        case $crystal in zif-8) frames=unseen-labelled.extxyz ;; *) frames=held-out-labelled.extxyz ;; esac
        mace-mof evaluate $frames --model $model -o $model-evaluated/$crystal \
            --phonons $crystal-minimum.extxyz --reference reference/$crystal --dim 1 1 1 --mesh 1 1 1 || {
            # The minimum of SALEM-2, which is not learnt, may be another crystal: its modes are there, and not paired.
            [ $crystal = salem-2 ]
            [ -e $model-evaluated/$crystal/model/done.json ]
        }
    done
done
tell evaluation
python "$here/results.py" .
