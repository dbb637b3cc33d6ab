"""Reading of ``.model`` files, which are pickles, without running anything in them.

A pickle is a program. It names classes and functions and calls them, and one that every MACE file calls,
``torch.fx.graph_module.reduce_graph_module``, compiles source text from the file. Here every name of a fixed list
becomes an inert record of what was called with which arguments, tensors become descriptions of where their numbers
lie, and any other name stops the reading. What is left is a tree of records, out of which `read_model_file` takes the
tensors and `architecture` the hyperparameters; the module is then built anew by mace's own constructor.
"""

from __future__ import annotations

import io
import itertools
import math
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelFileError, UnsafeModelError

if TYPE_CHECKING:
    import torch

__all__ = ["Record", "read_model_file"]

_MACE_CLASSES = {
    "mace.modules.models": ("ScaleShiftMACE",),
    "mace.modules.blocks": (
        "AtomicEnergiesBlock",
        "EquivariantProductBasisBlock",
        "LinearNodeEmbeddingBlock",
        "LinearReadoutBlock",
        "NonLinearReadoutBlock",
        "RadialEmbeddingBlock",
        "RealAgnosticDensityInteractionBlock",
        "RealAgnosticDensityResidualInteractionBlock",
        "RealAgnosticInteractionBlock",
        "RealAgnosticResidualInteractionBlock",
        "ScaleShiftBlock",
    ),
    "mace.modules.irreps_tools": ("reshape_irreps",),
    "mace.modules.radial": ("AgnesiTransform", "BesselBasis", "PolynomialCutoff", "ZBLBasis"),
    "mace.modules.symmetric_contraction": ("Contraction", "SymmetricContraction"),
    "e3nn.math._normalize_activation": ("normalize2mom",),
    "e3nn.nn._activation": ("Activation",),
    "e3nn.nn._fc": ("FullyConnectedNet", "_Layer"),
    "e3nn.o3._irreps": ("Irrep", "Irreps", "_MulIr"),
    "e3nn.o3._linear": ("Instruction", "Linear"),
    "e3nn.o3._spherical_harmonics": ("SphericalHarmonics",),
    "e3nn.o3._tensor_product._instruction": ("Instruction",),
    "e3nn.o3._tensor_product._sub": ("FullyConnectedTensorProduct",),
    "e3nn.o3._tensor_product._tensor_product": ("TensorProduct",),
    "torch.fx._symbolic_trace": ("Tracer",),
    "torch.fx.graph_module": ("reduce_graph_module",),
    "torch.nn.functional": ("silu",),
    "torch.nn.modules.container": ("ModuleList", "ParameterList"),
}
_KNOWN_NAMES = frozenset((module, name) for module, names in _MACE_CLASSES.items() for name in names)
# Where a name that is not on the list is a model that this version does not know rather than an attack.
_ARCHITECTURE_PACKAGES = ("mace.modules.", "mace.tools.", "e3nn.", "cuequivariance", "openequivariance")

_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_MAX_DEPTH = 64  # of nested modules
_MAX_MODULES = 10_000  # of which a model has some hundred; two that hold another twice, and so on, would be without end
_REMEMBERING = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_ZIP_MAGIC = b"PK\x03\x04"


class Record:
    """What a pickle wanted to make: the name it called, the arguments, and the state it set.

    Attributes of the object that it stands for, with the parameters, buffers and submodules of a module, are read with
    `get`.
    """

    qualified_name: str = ""

    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> Record:
        """Remember the arguments; some pickles make objects without initialising them."""
        record = super().__new__(cls)
        record.args, record.state = args, None
        return record

    def __setstate__(self, state: Any) -> None:
        self.state = state

    @property
    def class_name(self) -> str:
        """Name of the class or function, without its module."""
        return self.qualified_name.rpartition(".")[2]

    def get(self, name: str, default: Any = None) -> Any:
        """Return the attribute, parameter, buffer or submodule called `name`."""
        for table in (self.state, *(self._table(key) for key in ("_parameters", "_buffers", "_modules"))):
            if isinstance(table, Mapping) and name in table:
                return table[name]
        return default

    def children(self) -> dict[str, Record]:
        """Return the submodules."""
        return {name: module for name, module in self._table("_modules").items() if isinstance(module, Record)}

    def tensors(
        self, prefix: str = "", depth: int = 0, seen: Iterator[int] | None = None
    ) -> Iterator[tuple[str, _StoredTensor]]:
        """Yield the parameters and buffers of this module and those below it, named as in a state dictionary."""
        seen = seen or itertools.count()
        if depth > _MAX_DEPTH or next(seen) > _MAX_MODULES:
            raise ModelFileError("The model file holds modules within modules without end", "", "Do not use this file")
        torchscript = self.state if self.qualified_name.startswith("__torch__") else {}  # keeps everything in one table
        for table in (self._table("_parameters"), self._table("_buffers"), self._table("_modules"), torchscript):
            for name, value in table.items():
                if isinstance(value, _StoredTensor):
                    yield f"{prefix}{name}", value
                elif isinstance(value, Record):
                    yield from value.tensors(f"{prefix}{name}.", depth + 1, seen)
        # e3nn stores the modules it generates as archives of TorchScript, of which only the tensors are read.
        for name, archive in self._table("__codegen__").items():
            if isinstance(archive, bytes):
                inner = _read_archive(archive, f"the module {prefix}{name}")
                yield from inner.tensors(f"{prefix}{name}.", depth + 1, seen)

    def read_state(self) -> dict[str, torch.Tensor]:
        """Read the tensors of this module and those below it; damage is a ModelFileError."""
        try:
            return {name: tensor.read() for name, tensor in self.tensors()}
        except ModelFileError:
            raise
        except Exception as error:  # a damaged description of a tensor may hold anything
            raise ModelFileError(
                "The tensors of the model file cannot be read", f"{type(error).__name__}: {error}", "Fetch it again"
            ) from error

    def _table(self, key: str) -> Mapping[str, Any]:
        state = self.args[0] if self.class_name == "reduce_graph_module" and self.args else self.state
        table = state.get(key) if isinstance(state, Mapping) else None
        return table if isinstance(table, Mapping) else {}


@dataclass(frozen=True, slots=True)
class _Storage:
    """A run of numbers in the archive."""

    content: bytes
    dtype: str


@dataclass(frozen=True, slots=True)
class _StoredTensor:
    """A strided view into a storage."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def read(self) -> torch.Tensor:
        """Copy the numbers; a view that leaves its storage, or repeats it, is an error."""
        import torch

        dtype: torch.dtype = getattr(torch, self.storage.dtype)
        count = math.prod(self.size)
        if count == 0:
            return torch.empty(self.size, dtype=dtype)
        whole = torch.frombuffer(bytearray(self.storage.content), dtype=dtype)
        last = self.offset + sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True))
        if min(self.offset, *self.size, *self.stride, 0) < 0 or max(last, count - 1) >= len(whole):
            raise ModelFileError("The model file holds a tensor outside its data", "It is damaged", "Fetch it again")
        return whole.as_strided(self.size, self.stride, self.offset).clone()


class _InertUnpickler(pickle.Unpickler):
    """Unpickler that knows no class or function of the outside world but plain containers.

    Everything it hands out is made for one file, so that a pickle cannot change what the next one meets.
    """

    def __init__(self, file: io.BytesIO, read_storage: Callable[[str], bytes], *, torchscript: bool) -> None:
        super().__init__(file, encoding="utf-8")
        self._read_storage = read_storage
        self._torchscript = torchscript
        self._storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for a name; called for every name in the file, before anything is made of it."""
        qualified = f"{module}.{name}"
        if module == "torch" and name in _STORAGES:
            return type(name, (), {"dtype": _STORAGES[name]})
        if qualified in _CONTAINERS:
            return _CONTAINERS[qualified]
        if qualified == "torch._utils._rebuild_tensor_v2":
            return lambda storage, offset, size, stride, *_: _StoredTensor(storage, offset, size, stride)
        if qualified == "torch._utils._rebuild_parameter":
            return lambda data, *_: data
        if qualified == "_codecs.encode":
            return lambda text, _encoding: text.encode("latin1")  # bytes of a protocol 2 pickle
        if self._torchscript and module == "torch.jit._pickle":
            return lambda value, *_: value  # marks the type of a list or dictionary
        generated = self._torchscript and module.startswith("__torch__")
        if (module, name) in _KNOWN_NAMES or generated:
            return type("Record", (Record,), {"qualified_name": qualified})
        if module.startswith(_ARCHITECTURE_PACKAGES):
            raise ModelFileError(
                f"The model uses {qualified}",
                "This package reads the architecture of MACE-MP-0 and of models fine-tuned from it (ScaleShiftMACE)",
                "Use trust=True if you know where the file comes from",
            )
        raise UnsafeModelError(
            f"The model file asks for {qualified}",
            "No model of a known architecture needs that, and it may run code. Nothing was run",
            "Do not use this file; trust=True loads it all the same, if you know where it comes from",
        )

    def persistent_load(self, pid: Any) -> _Storage:
        """Return the storage that a tensor refers to."""
        kind, storage_type, key, _location, _size = pid
        dtype = getattr(storage_type, "dtype", "")
        if kind != "storage" or dtype not in _STORAGES.values() or not isinstance(key, str):
            raise ModelFileError("The model file refers to data of an unknown kind", "", "Was it written by PyTorch?")
        if key not in self._storages:
            self._storages[key] = _Storage(self._read_storage(key), dtype)
        return self._storages[key]


_CONTAINERS: dict[str, type] = {
    "collections.OrderedDict": OrderedDict,
    "__builtin__.set": set,
    "builtins.set": set,
    "__builtin__.slice": slice,
    "builtins.slice": slice,
}


def read_model_file(path: Path) -> Record:
    """Read a model file into inert records.

    Parameters
    ----------
    path : Path
        A file written by ``torch.save`` (the zip layout of PyTorch 1.6 and later).

    Returns
    -------
    Record
        The pickled object.

    Raises
    ------
    ModelFileError
        If the file is not one, is damaged, or holds another kind of model.
    UnsafeModelError
        If it names anything that such a model does not need. Nothing of it has run.
    """
    content = path.read_bytes()
    if not content.startswith(_ZIP_MAGIC):
        raise ModelFileError(f"{path} is not a model file", _describe_start(content), "Check where it comes from")
    return _read_archive(content, str(path))


def _read_archive(content: bytes, label: str) -> Record:
    """Read an archive of PyTorch, at top level or inside a pickle."""
    try:
        record = _unpickle(content, label)
    except ModelFileError:
        raise
    except Exception as error:  # damaged pickles raise whatever they happen to hit
        raise ModelFileError(
            f"{label} cannot be read as a model file",
            f"{type(error).__name__}: {error}",
            "It is damaged: fetch it again",
        ) from error
    if not isinstance(record, Record):
        raise ModelFileError(f"{label} holds no model", f"It holds a {type(record).__name__}", "Name the .model file")
    return record


def _unpickle(content: bytes, label: str) -> Any:
    archive = zipfile.ZipFile(io.BytesIO(content))
    names = archive.namelist()
    pickles = [name for name in names if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise ModelFileError(f"{label} is not a model file", "It holds no pickle of PyTorch", "Check its source")
    stored = (member.file_size for member in archive.infolist() if member.compress_type == zipfile.ZIP_STORED)
    if sum(stored) > len(content):
        raise ModelFileError(f"{label} is not a model file", "Its parts overlap", "Do not use this file")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}byteorder" in names and _read_member(archive, f"{folder}byteorder") != b"little":
        raise ModelFileError(f"{label} was written on a big-endian machine", "", "Convert it with PyTorch there")
    program = _read_member(archive, pickles[0])
    _check_memo(program)
    unpickler = _InertUnpickler(
        io.BytesIO(program),
        lambda key: _read_member(archive, f"{folder}data/{key}"),
        torchscript=f"{folder}constants.pkl" in names,
    )
    return unpickler.load()


def _check_memo(program: bytes) -> None:
    """Refuse numbers of remembered objects that none can have: the unpickler makes room for all below them."""
    for operation, argument, _ in pickletools.genops(program):
        if operation.name in _REMEMBERING and int(argument or 0) > len(program):
            raise ModelFileError("The model file would take all memory", "", "Do not use this file")


def _read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:  # PyTorch does not compress; bombs do
        raise ModelFileError("The model file is compressed inside", "PyTorch writes no such files", "Check its source")
    return archive.read(name)


def _describe_start(content: bytes) -> str:
    if not content:
        return "It is empty"
    if content.lstrip()[:1] == b"<":
        return "It is a web page, as a proxy or a login would send"
    if content.startswith(b"version https://git-lfs"):
        return "It is a pointer of git-lfs: the file itself was not fetched"
    return "It was not written by torch.save of PyTorch 1.6 or later"
