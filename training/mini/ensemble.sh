#!/bin/sh
# Train the small ensemble of which benchmarks/spread.py shows what the spread of a committee is worth: models of a
# quarter of the width of `mini`, on MOF-5 alone, each from its own random weights and with its own draws.
#
#     sh training/mini/ensemble.sh [FOLDER]
#
# Stop it at any time and start it again.
set -e
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-build/ensemble}
python "$here/archive.py" "$folder"
python - "$folder" <<'END'
import sys
from pathlib import Path
from mace_mof_calc.frames import read_frames, write_frames
for name in ("labelled", "hessians"):
    frames = read_frames(Path(sys.argv[1]) / f"{name}.extxyz")
    write_frames(Path(sys.argv[1]) / f"{name}-MOF-5.extxyz", [a for a in frames if a.info["source"] == "MOF-5"])
END
for k in 1 2 3 4; do
    mace-mof finetune "$folder/labelled-MOF-5.extxyz" --hessians "$folder/hessians-MOF-5.extxyz" --name member-$k \
        -o "$folder/member-$k" --foundation none --no-register --channels 16 --steps 900 --rates 1e-2 1e-5 --seed $k \
        --level-of-theory "GFN1-xTB (tblite, Gamma point)" --dispersion
    cp "$folder/member-$k/member-$k.json" "$folder/member-$k/member-$k.safetensors" "$here/../../benchmarks/ensemble/"
done
