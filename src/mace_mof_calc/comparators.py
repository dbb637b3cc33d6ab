"""The two calculators that the paper compares MACE-MP-MOF0 with."""

from __future__ import annotations

from pathlib import Path

from .calculator import MaceMOF
from .dispersion.calculator import CUTOFF, DispersionCorrected
from .xtb import GammaPointWarning, GFN1xTB

__all__ = ["DispersionCorrected", "GFN1xTB", "GammaPointWarning", "MaceMP0bD3"]


class MaceMP0bD3(DispersionCorrected):
    """MACE-MP-0b (medium), the model that MACE-MP-MOF0 was fine-tuned from, with D3(BJ) dispersion for PBE.

    Parameters
    ----------
    model : str or Path, optional
        ``mp-0b``, or the path of its file.
    device, dtype, head, trust : optional
        As in `mace_mof_calc.MaceMOF`.
    cutoff : float, optional
        Cutoff of the dispersion, Angstrom; 95 Bohr by default.

    Raises
    ------
    DispersionError
        The model has dispersion in it.
    MissingExtraError
        torch-dftd is not installed.
    UnknownModelError, WeightsError, ModelFileError, UnknownHeadError, DeviceError
        As in `mace_mof_calc.MaceMOF`.

    Notes
    -----
    ``energy`` and ``free_energy`` in eV, ``forces`` in eV/Angstrom, and, where all three axes are periodic, ``stress``
    in eV/Angstrom^3. The dispersion is always in float64.
    """

    def __init__(
        self,
        model: str | Path = "mp-0b",
        *,
        device: str = "auto",
        dtype: str = "float64",
        head: str | None = None,
        trust: bool = False,
        cutoff: float = CUTOFF,
    ) -> None:
        super().__init__(MaceMOF(model, device=device, dtype=dtype, head=head, trust=trust), cutoff=cutoff)

    def _get_name(self) -> str:
        return "mace-mp-0b-d3"
