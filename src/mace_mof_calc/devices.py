"""Where and in which precision a model computes."""

from __future__ import annotations

from .errors import DeviceError


def resolve_device(device: str) -> str:
    """Turn the name of a device into one that is here.

    Parameters
    ----------
    device : str
        ``auto`` (CUDA where there is one, else the CPU), or a name that PyTorch knows: ``cpu``, ``cuda``, ``cuda:1``.

    Returns
    -------
    str
        Name for PyTorch.

    Raises
    ------
    DeviceError
        PyTorch does not know the name, or the machine has no such device.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        parsed = torch.device(device)
    except RuntimeError as error:
        raise DeviceError(
            f"There is no device {device!r}", "PyTorch does not know that name", "Use auto, cpu, cuda or cuda:1"
        ) from error
    if parsed.type not in ("cpu", "cuda"):
        try:
            torch.zeros(1, device=parsed).cpu()
        except Exception as error:  # each kind of device raises what it likes
            raise DeviceError(
                f"Device {device!r} was asked for and there is none", f"{error}", "Use auto, cpu, cuda or cuda:1"
            ) from error
    if parsed.type == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            f"Device {device!r} was asked for and there is none",
            "Either this machine has no CUDA device, or its PyTorch was built without CUDA",
            "Use auto or cpu",
        )
    if parsed.type == "cuda" and (parsed.index or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"Device {device!r} was asked for and there is none",
            f"This machine has {torch.cuda.device_count()} CUDA device(s), counted from 0",
            "Use auto, cuda or a lower number",
        )
    return device
