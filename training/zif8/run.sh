#!/bin/sh
# The way from crystals to a model, from end to end: `mini` learns ZIF-8, whose nitrogen it has never seen.
#
#     sh training/zif8/run.sh [folder]
#
# Two to three hours on two cores. Stop it at any time and start it again. The commands of this repository must be on
# the path (. .venv/bin/activate), with the extras xtb and training.
set -e
here=$(cd "$(dirname "$0")" && pwd)
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}"
folder=${1:-build/zif8}
python "$here/prepare.py" "$folder"
cd "$folder"

mace-mof sample crystals.extxyz -o sampled.extxyz --calculator gfn1-xtb --kind relax,strain,md,rattle \
    --strain -0.04 0.04 --steps 300 --every 15 --md-frames 20 --rattle-frames 24
# The energies of `mini` do not count from free atoms, so none are labelled; that of nitrogen is fitted. Frames that fail
# are listed, and status 1 says that there are some.
mace-mof label sampled.extxyz -o labelled.extxyz --calculator gfn1-xtb --workers 2 || [ $? -eq 1 ]

# Old and new frames have labels of one kind, and so one head learns both.
export MACE_MOF_MODELS="$PWD/models"
train="labelled.extxyz replay.extxyz --foundation mini --level-of-theory GFN1-xTB --dtype float32"
mace-mof finetune $train --name mini-before --epochs 0
mace-mof finetune $train --name mini-zif8 --epochs 60 --patience 15 --lr 1e-3 --ema 0.99

for model in mini-before mini-zif8; do
    mace-mof evaluate mini-zif8/test.extxyz old.extxyz --model $model -o evaluated-$model \
        --phonons crystals.extxyz --reference gfn1-xtb --dim 1 1 1 --mesh 1 1 1
done
