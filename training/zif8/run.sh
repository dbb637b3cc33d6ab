#!/bin/sh
# The way from crystals to a model, from end to end: `mini` learns ZIF-8, whose nitrogen it has never seen, and is tried
# on SALEM-2, the same net with another linker.
#
#     sh training/zif8/run.sh [folder]
#
# Two to three hours on two cores. Stop it at any time and start it again. The commands of this repository must be on
# the path (. .venv/bin/activate), with the extras xtb and training. The folder's table.csv and table.png are the result.
set -e
here=$(cd "$(dirname "$0")" && pwd)
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}"
folder=${1:-build/zif8}
python "$here/prepare.py" "$folder"
cd "$folder"

# The energies of `mini` do not count from free atoms, so none are labelled; that of nitrogen is fitted. Frames that fail
# are listed, and status 1 says that there are some.
label() {
    mace-mof label "$1-sampled.extxyz" -o "$1-labelled.extxyz" --calculator gfn1-xtb --workers 2 || [ $? -eq 1 ]
}
mace-mof sample zif-8.extxyz -o zif-8-sampled.extxyz --calculator gfn1-xtb --kind relax,strain,md,rattle \
    --strain -0.04 0.04 --steps 300 --every 15 --md-frames 20 --rattle-frames 24
label zif-8
mace-mof sample salem-2.extxyz -o salem-2-sampled.extxyz --calculator gfn1-xtb --kind strain,rattle \
    --strain -0.04 0.04 --rattle-frames 14
label salem-2

# Old and new frames have labels of one kind, and so one head learns both.
export MACE_MOF_MODELS="$PWD/models"
train="zif-8-labelled.extxyz replay.extxyz --foundation mini --level-of-theory GFN1-xTB --dtype float32"
mace-mof finetune $train --name mini-before --epochs 0
mace-mof finetune $train --name mini-zif8 --epochs 60 --patience 15 --lr 1e-3 --ema 0.99

# Both models are evaluated on the same frames. tblite samples the Gamma point alone, and converges to about 1e-4 eV/A.
reference=gfn1-xtb
for model in mini-before mini-zif8; do
    mkdir -p $model-evaluated
    mace-mof evaluate old.extxyz --model $model -o $model-evaluated/old
    for crystal in zif-8 salem-2; do
        case $crystal in zif-8) frames=mini-zif8/test.extxyz ;; *) frames=$crystal-labelled.extxyz ;; esac
        [ $model = mini-before ] || reference=mini-before-evaluated/$crystal/reference
        mace-mof evaluate $frames --model $model -o $model-evaluated/$crystal \
            --phonons $crystal.extxyz --reference $reference --dim 1 1 1 --mesh 1 1 1 --fmax 1e-4
    done
done
python "$here/tabulate.py" .
