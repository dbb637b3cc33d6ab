"""The one architecture of this package: how its hyperparameters are found, and a module is built from them.

Only the hyperparameters and the tensors are taken from a file. Everything that is program, such as the contractions
that e3nn and mace generate, is generated anew.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..backend import import_mace
from ..errors import ModelFileError
from .hyperparameters import Hyperparameters
from .pickled import Record

if TYPE_CHECKING:
    import torch

__all__ = [
    "ARCHITECTURE",
    "STORED_BUFFERS",
    "build_module",
    "construction",
    "extract_hyperparameters",
    "initialise_module",
]

#: The class of mace that this package builds.
ARCHITECTURE = "ScaleShiftMACE"

#: Buffers that do not follow from the hyperparameters.
STORED_BUFFERS = frozenset({"atomic_energies_fn.atomic_energies", "scale_shift.scale", "scale_shift.shift"})

# Written by mace <= 0.3.8 and used no more: the cutoff of the pair repulsion follows from the covalent radii.
_OBSOLETE = re.compile(r"pair_repulsion_fn\.(r_max|cutoff\..*)")


def extract_hyperparameters(model: torch.nn.Module | Record, state: Mapping[str, torch.Tensor]) -> Hyperparameters:
    """Find the hyperparameters of a model.

    Parameters
    ----------
    model : torch.nn.Module or Record
        A ``ScaleShiftMACE``, or what `pickled.read_model_file` made of one.
    state : mapping
        Its tensors, named as in its state dictionary.

    Returns
    -------
    Hyperparameters

    Raises
    ------
    ModelFileError
        If the model is of another kind or uses an option that this package does not know.
    """
    if _class_name(model) != ARCHITECTURE:
        raise ModelFileError(
            f"The model is a {_class_name(model)}",
            f"This package computes with {ARCHITECTURE}, the architecture of MACE-MP-0 and MACE-MP-MOF0",
            "Use mace's own calculator for it",
        )
    _refuse_unknown_options(model)
    interactions, products, readouts = (list(_children(_get(model, name))) for name in _LAYERS)
    heads = tuple(_get(model, "heads", ("Default",)))
    hidden = _get(readouts[-1], "hidden_irreps")
    mlp_width = 1 if hidden is None else sum(mul for mul, degree, _ in _irreps(hidden) if degree == 0) // len(heads)
    transform = _get(_get(model, "radial_embedding"), "distance_transform")
    return Hyperparameters(
        r_max=float(state["r_max"]),
        num_bessel=len(state["radial_embedding.bessel_fn.bessel_weights"]),
        num_polynomial_cutoff=int(state["radial_embedding.cutoff_fn.p"]),
        max_ell=_get(_get(model, "spherical_harmonics"), "_lmax"),
        num_interactions=len(interactions),
        interaction_cls=_class_name(interactions[-1]),
        interaction_cls_first=_class_name(interactions[0]),
        hidden_irreps="+".join(
            f"{mul}x{degree}{'e' if p == 1 else 'o'}" for mul, degree, p in _irreps_out(products[0])
        ),
        MLP_irreps=f"{max(1, mlp_width)}x0e",
        correlation=tuple(_correlation(state, layer) for layer in range(len(products))),
        radial_MLP=tuple(_get(_get(interactions[0], "conv_tp_weights"), "hs")[1:-1]),
        atomic_numbers=tuple(int(number) for number in state["atomic_numbers"]),
        heads=heads,
        avg_num_neighbors=float(_get(interactions[0], "avg_num_neighbors")),
        pair_repulsion=_get(model, "pair_repulsion_fn") is not None,
        distance_transform="None" if transform is None else _class_name(transform).removesuffix("Transform"),
        activation_constant=_activation_constant(model),
    )


def build_module(
    hyperparameters: Hyperparameters, state: Mapping[str, torch.Tensor], *, dtype: torch.dtype
) -> torch.nn.Module:
    """Build a model with mace's own constructor and fill in its tensors.

    Neither the default dtype and device of PyTorch, nor its random numbers, nor the settings of e3nn are changed.

    Parameters
    ----------
    hyperparameters : Hyperparameters
        What to build.
    state : mapping
        Tensors by the name they have in the state dictionary: at least every parameter and `STORED_BUFFERS`. Other
        buffers are taken from here where present, and follow from the hyperparameters otherwise.
    dtype : torch.dtype
        ``torch.float64`` or ``torch.float32``.

    Returns
    -------
    torch.nn.Module
        A ``ScaleShiftMACE`` on the CPU, in evaluation mode, its parameters without gradients.

    Raises
    ------
    ModelFileError
        If tensors are missing, left over, or of another shape than the hyperparameters say.
    """
    import torch

    with _ONE_AT_A_TIME, construction(dtype):
        try:
            module = _construct(hyperparameters)
        except Exception as error:  # mace's constructor and e3nn raise whatever their parts do
            raise ModelFileError(
                "No model can be made of the hyperparameters",
                f"{type(error).__name__}: {' '.join(str(error).split())}",
                "Check where the file is from",
            ) from error
    own = module.state_dict()
    required = {name for name, _ in module.named_parameters()} | STORED_BUFFERS
    missing = required - set(state)
    left_over = {name for name in set(state) - set(own) if not _OBSOLETE.fullmatch(name)}
    misfits = {name for name in set(state) & set(own) if state[name].numel() != own[name].numel()}
    for names, complaint in ((missing, "lacks"), (left_over, "has besides"), (misfits, "has in another size")):
        if names:
            raise ModelFileError(
                f"The model file does not fit its hyperparameters: it {complaint} {_enumerate(names)}",
                "It is damaged, or of a version of mace or with an option that this package does not know",
                "Use mace's own calculator for it, or trust=True if you know where it comes from",
            )
    with torch.no_grad():
        for name in set(state) & set(own):
            own[name].copy_(state[name].reshape(own[name].shape))
    for part in _walk(module):
        if _class_name(part) == "normalize2mom":
            part.cst = hyperparameters.activation_constant
    return module.to(dtype).requires_grad_(requires_grad=False).eval()


def initialise_module(hyperparameters: Hyperparameters, *, seed: int) -> torch.nn.Module:
    """Build a model with random parameters by mace's own constructor, in float64.

    Parameters
    ----------
    hyperparameters : Hyperparameters
        What to build; their activation constant is left to e3nn.
    seed : int
        Of the random numbers; those of the process stay as they are.
    """
    import torch

    with _ONE_AT_A_TIME, construction(torch.float64):
        torch.manual_seed(seed)
        return _construct(hyperparameters)


# What mace's constructor reads belongs to the process, so that only one thread at a time may set it.
_ONE_AT_A_TIME = threading.Lock()
_LAYERS = ("interactions", "products", "readouts")
# Options of newer versions of mace, with the value that means what older versions did.
_NEWER_OPTIONS = {
    "apply_cutoff": True,
    "use_so3": False,
    "use_agnostic_product": False,
    "use_last_readout_only": False,
    "edge_irreps": None,
    "embedding_specs": None,
    "joint_embedding": None,
}


def _construct(values: Hyperparameters) -> torch.nn.Module:
    import numpy as np
    from e3nn.o3 import Irreps
    from mace.modules import ScaleShiftMACE, interaction_classes
    from torch.nn.functional import silu

    per_head: Any = np.ones(len(values.heads))  # both are filled in later
    module: torch.nn.Module = ScaleShiftMACE(
        r_max=values.r_max,
        num_bessel=values.num_bessel,
        num_polynomial_cutoff=values.num_polynomial_cutoff,
        max_ell=values.max_ell,
        interaction_cls=interaction_classes[values.interaction_cls],
        interaction_cls_first=interaction_classes[values.interaction_cls_first],
        num_interactions=values.num_interactions,
        num_elements=len(values.atomic_numbers),
        hidden_irreps=Irreps(values.hidden_irreps),
        MLP_irreps=Irreps(values.MLP_irreps),
        gate=silu,
        atomic_energies=np.zeros((len(values.heads), len(values.atomic_numbers))),
        avg_num_neighbors=values.avg_num_neighbors,
        atomic_numbers=list(values.atomic_numbers),
        correlation=list(values.correlation),
        radial_MLP=list(values.radial_MLP),
        heads=list(values.heads),
        pair_repulsion=values.pair_repulsion,
        distance_transform=values.distance_transform,
        atomic_inter_scale=per_head,
        atomic_inter_shift=per_head,
        use_reduced_cg=False,
    )
    return module


@contextlib.contextmanager
def construction(dtype: torch.dtype) -> Iterator[None]:
    """Set what mace's constructor reads from the process, and give it back."""
    import torch

    import_mace()
    import e3nn

    previous_dtype = torch.get_default_dtype()
    previous_script = e3nn.get_optimization_defaults()["jit_script_fx"]
    torch.set_default_dtype(dtype)
    # Without TorchScript: deprecated, slower to build, and no obstacle to second derivatives.
    e3nn.set_optimization_defaults(jit_script_fx=False)
    try:
        # A device as a context slows every operation down; it is needed only where another one is the default, which
        # PyTorch 2.7 cannot tell after set_default_device(None).
        on_cpu = contextlib.nullcontext() if torch.empty(0).device.type == "cpu" else torch.device("cpu")
        with on_cpu, torch.random.fork_rng(devices=[]), _couplings_computed_once():
            yield
    finally:
        torch.set_default_dtype(previous_dtype)
        e3nn.set_optimization_defaults(jit_script_fx=previous_script)


@contextlib.contextmanager
def _couplings_computed_once() -> Iterator[None]:
    """Keep mace from computing the same coupling coefficients for every layer and degree, half of the time it takes."""
    from mace.tools import cg

    compute = cg._wigner_nj
    known: dict[str, list[Any]] = {}

    def look_up(*args: Any, **kwargs: Any) -> list[Any]:
        key = repr((args, kwargs))
        if key not in known:
            known[key] = compute(*args, **kwargs)
        return list(known[key])

    cg._wigner_nj = look_up
    try:
        yield
    finally:
        cg._wigner_nj = compute


def _get(parent: Any, name: str, default: Any = None) -> Any:
    return parent.get(name, default) if isinstance(parent, Record) else getattr(parent, name, default)


def _children(parent: Any) -> Iterator[Any]:
    return iter(parent.children() if not isinstance(parent, Record) else parent.children().values())


def _class_name(model: Any) -> str:
    return model.class_name if isinstance(model, Record) else type(model).__name__


def _irreps(irreps: Any) -> list[tuple[int, int, int]]:
    """Return (multiplicity, degree, parity) of each term of e3nn's Irreps, or of the record of them."""
    if not isinstance(irreps, Record):
        return [(mul, ir.l, ir.p) for mul, ir in irreps]
    # Irreps, their terms and each irrep are subclasses of tuple, pickled by their content.
    terms = (term.args[0] for term in irreps.args[0])
    return [(mul, *irrep.args[0]) for mul, irrep in terms]


def _irreps_out(product: Any) -> list[tuple[int, int, int]]:
    return _irreps(_get(_get(product, "linear"), "irreps_out"))


def _correlation(state: Mapping[str, torch.Tensor], layer: int) -> int:
    prefix = f"products.{layer}.symmetric_contractions.contractions.0.weights."
    return 1 + sum(name.startswith(prefix) for name in state)


def _activation_constant(model: Any) -> float:
    """Return the normalisation of the activations, which is the same all over the model."""
    constants = {(_get(part, "cst"), _get(part, "f")) for part in _walk(model) if _class_name(part) == "normalize2mom"}
    values = {constant for constant, _ in constants}
    functions = {getattr(function, "qualified_name", getattr(function, "__name__", "")) for _, function in constants}
    if len(values) != 1 or {name.rpartition(".")[2] for name in functions} != {"silu"}:
        raise ModelFileError("The model uses activations other than SiLU", "", "Use mace's own calculator for it")
    constant: float = values.pop()
    return constant


def _walk(model: Any) -> Iterator[Any]:
    yield model
    for child in _children(model):
        yield from _walk(child)


def _refuse_unknown_options(model: Any) -> None:
    for name, usual in _NEWER_OPTIONS.items():
        value = _get(model, name, usual)
        if value != usual:
            raise ModelFileError(
                f"The model was made with {name} = {value!r}",
                f"This package knows models with {name} = {usual!r}",
                "Use mace's own calculator for it",
            )


def _enumerate(names: set[str], shown: int = 3) -> str:
    listed = sorted(names)
    return ", ".join(listed[:shown]) + (f" and {len(listed) - shown} more" if len(listed) > shown else "")
