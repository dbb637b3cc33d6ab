"""A model of the architecture of MACE-MP-0b (medium) with seeded random weights."""

from __future__ import annotations

import numpy as np
import torch

from mace_mof_calc.backend import import_mace

import_mace()


def production_module(seed: int = 0, *, first: str = "RealAgnosticResidualInteractionBlock") -> torch.nn.Module:
    """Return the model, in double precision: 128x0e+128x1o, max_ell 3, correlation 3, cutoff 6 A, 89 elements.

    `first` names the first interaction block.
    """
    from e3nn.o3 import Irreps
    from mace.modules import ScaleShiftMACE, interaction_classes

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(seed)
    block = interaction_classes["RealAgnosticResidualInteractionBlock"]
    try:
        return ScaleShiftMACE(
            r_max=6.0,
            num_bessel=10,
            num_polynomial_cutoff=5,
            max_ell=3,
            interaction_cls=block,
            interaction_cls_first=interaction_classes[first],
            num_interactions=2,
            num_elements=89,
            hidden_irreps=Irreps("128x0e+128x1o"),
            MLP_irreps=Irreps("16x0e"),
            atomic_energies=np.zeros(89),
            avg_num_neighbors=28.0,
            atomic_numbers=list(range(1, 90)),
            correlation=3,
            gate=torch.nn.functional.silu,
            pair_repulsion=True,
            distance_transform="Agnesi",
            radial_type="bessel",
            radial_MLP=[64, 64, 64],
            atomic_inter_scale=1.0,
            atomic_inter_shift=0.0,
        )
    finally:
        torch.set_default_dtype(before)
