"""What may befall a file: damage by chance, values that nobody meant, and content that is meant to do harm."""

from __future__ import annotations

import copy
import io
import pickle
import resource
import signal
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "nan": float("nan"),
    "inf": float("inf"),
    "huge": 10**400,
    "large": 1e300,
    "negative": -1,
    "zero": 0,
    "fraction": 0.5,
    "word": "word",
    "no word": "",
    "long word": "x" * 10000,
    "path": "../../etc",
    "surrogate": "\ud800",
    "markup": "<script>alert(1)</script>\x1b[31m\n",
    "no list": [],
    "list": [None],
    "numbers": [1, 2, 3],
    "nested list": [[[[0]]]],
    "no mapping": {},
    "mapping": {"a": {"b": [1]}},
}
"""Of any type, whatever a file should have."""


def damage(content: bytes, random: np.random.Generator, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield a file's content as `count` accidents leave it, each with what happened."""
    for _ in range(count):
        place, length = int(random.integers(len(content))), int(random.integers(1, 9))
        noise = random.bytes(length)
        kind = random.choice(["cut", "flip", "insert", "drop", "repeat", "digit"])
        changed = bytearray(content)
        if kind == "cut":
            del changed[place:]
        elif kind == "flip":
            changed[place : place + length] = noise[: len(changed[place : place + length])]
        elif kind == "insert":
            changed[place:place] = noise
        elif kind == "drop":
            del changed[place : place + 10 * length]
        elif kind == "repeat":
            changed[place:place] = changed[place : place + 10 * length]
        else:
            digits = [k for k, byte in enumerate(changed[place : place + 200], place) if chr(byte).isdigit()]
            changed[digits[0] if digits else place] = int(random.choice(list(b"0123456789-.eEnx ")))
        yield f"{kind} at {place}, {length}", bytes(changed)


def ruins(content: bytes) -> dict[str, bytes]:
    """Return what may lie in a file's place, whatever it is a file of."""
    return {
        "nothing": b"",
        "a line": b"\n",
        "zeros": bytes(1000),
        "no text": bytes(range(128, 256)) * 4,
        "a web page": b"<!DOCTYPE html><html><body>404</body></html>",
        "a pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "twice": content * 2,
        "in UTF-16": content.decode("latin1").encode("utf-16"),
        "with a mark": b"\xef\xbb\xbf" + content,
        "brackets": b"[" * 100_000,
        "closed brackets": b"[" * 100_000 + b"]" * 100_000,
        "braces": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        "zip": zipped({"a": b"b"}),
    }


def replace_leaves(document: Any, random: np.random.Generator, count: int) -> Iterator[tuple[str, Any]]:
    """Yield nested plain data with something else in one place, each with what was done where."""
    places = list(_walk(document))
    for _ in range(count):
        path = places[int(random.integers(len(places)))]
        changed = copy.deepcopy(document)
        parent = _at(changed, path[:-1])
        kind = random.choice(["drop", "add", "replace", "replace", "replace", "replace"])
        where = "/".join(map(str, path))
        if kind == "drop":
            del parent[path[-1]]
        elif kind == "add" and isinstance(parent, dict):
            parent["unheard of"] = None
        else:
            kind = str(random.choice(list(VALUES)))
            parent[path[-1]] = copy.deepcopy(VALUES[kind])
        yield f"{kind} {where}", changed


def _walk(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from _walk(value, (*path, key))


def _at(document: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        document = document[key]
    return document


def hostile_yaml(marker: Path) -> dict[str, bytes]:
    """Return YAML that runs code or takes all memory, where a loader lets it; code that runs touches the marker."""
    call = f"!!python/object/apply:os.system ['touch {marker}']"
    touch = f"!!python/object/new:subprocess.check_output [[touch, {marker}]]"
    laughs = "".join(f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]\n" for k in range(1, 12))
    merges = "".join(f"a{k}: &a{k} {{<<: [{', '.join([f'*a{k - 1}'] * 10)}]}}\n" for k in range(1, 12))
    texts = {
        "a call": f"phonopy_mlp: {call}\n",
        "a call in a list": f"- {call}\n",
        "a call as key": f"? {call}\n: 1\n",
        "a call under supercell_matrix": f"supercell_matrix: {call}\nphonopy: {{}}\nunit_cell: {{}}\n",
        "a process": f"structure: {touch}\n",
        "a module": f"a: !!python/module:{marker.stem}\n",
        "a name": "a: !!python/name:os.system\n",
        "eval": f"a: !!python/object/apply:eval [\"open('{marker}', 'w')\"]\n",
        "a tag by its handle": f"%TAG ! tag:yaml.org,2002:python/object/apply:\n---\n!os.system ['touch {marker}']\n",
        "a verbatim tag": f"a: !<tag:yaml.org,2002:python/object/apply:os.system> ['touch {marker}']\n",
        "laughs": f"a0: &a0 [lol]\n{laughs}",
        "merges": f"a0: &a0 {{k: v}}\n{merges}",
        "itself": "a: &a [*a]\nphonopy_mlp: &b {steps: *b}\n",
        "deep in blocks": "\n".join("  " * k + "a:" for k in range(2000)),
        "deep in a line": "- " * 5000,
        "twice the same key": "phonopy_mlp: 1\nphonopy_mlp: 2\n",
        "a date that is none": "started: 2001-99-99\n",
        "a number that is none": "started: 0x_\n",
        "a number of many digits": f"started: {'9' * 5000}\n",
        "a number of many parts": f"started: 1{':1' * 300}.0\n",
        "several documents": "a: 1\n---\nb: 2\n",
        "a key of a list": "? [a]\n: 1\n",
        "a control character": "a: \x01\n",
    }
    return {
        **{name: text.encode() for name, text in texts.items()},
        "a call in UTF-16": texts["a call under supercell_matrix"].encode("utf-16"),
    }


class Call:
    """Pickles as a call, which unpickling makes."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def hostile_pickles(marker: Path) -> dict[str, bytes]:
    """Return pickles that run code or take all memory, where an unpickler lets them."""
    import builtins
    import os
    import runpy
    import subprocess

    import torch

    calls = {
        "os.system": Call(os.system, f"touch {marker}"),
        "eval": Call(builtins.eval, f"open({str(marker)!r}, 'w')"),
        "exec": Call(builtins.exec, f"open({str(marker)!r}, 'w')"),
        "subprocess": Call(subprocess.check_output, ["touch", str(marker)]),
        "runpy": Call(runpy.run_path, str(marker)),
        "torch.hub": Call(torch.hub.load, str(marker.parent), marker.name, "local"),
        "torch.load": Call(torch.load, str(marker)),
        "getattr": Call(builtins.getattr, Call(builtins.__import__, "os"), "system"),
    }
    return {
        **{f"{name}, protocol {p}": pickle.dumps(call, p) for name, call in calls.items() for p in (0, 2, 4)},
        "a name in a name": b"\x80\x04\x8c\x05torch\x8c\x0bhub.os.path\x93.",
        "a stand-in's insides": b"cmace.modules.models\nScaleShiftMACE.__reduce__\n.",
        "a memo of 64 GB": b"Nr\xff\xff\xff\xff.",
        "a memo by name": b"Np4294967295\n.",
        "an object of 8 EB": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
        "a frame of 8 EB": b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7fN.",
        "a number of 2 GB": b"\x8b\xff\xff\xff\x7f.",
        "an extension": b"\x82\x01.",
        "marks": b"(" * 100_000 + b".",
        "tuples": b")" + b"\x85" * 100_000 + b".",
        "two modules that hold another twice, and so on": _doubling(50),
        "a list in itself": b"]q\x00h\x00a.",
    }


def zipped(members: dict[str, bytes], *, compressed: bool = False) -> bytes:
    """Return a zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def overlapping() -> bytes:
    """Return an archive of PyTorch's of which one part lies within another."""
    inner, buffer = zipped({"a/data/0": bytes(1000)}), io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(inner)) as archive:
        (part,) = archive.infolist()
        end = part.header_offset + 30 + len(part.filename) + part.file_size
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/data.pkl", b"cmace.modules.models\nScaleShiftMACE\n)R.")
        archive.writestr("a/data/1", inner[:end])
        around = archive.getinfo("a/data/1")
        part.header_offset = around.header_offset + 30 + len(around.filename)
        archive.filelist.append(part)
    return buffer.getvalue()


def _doubling(levels: int) -> bytes:
    """Return a pickle of modules within modules, each there twice: it is short, and to go through it takes for ever."""
    begin = b"cmace.modules.models\nScaleShiftMACE\n)R}X\x08\x00\x00\x00_modules}"
    stream = begin + b"sb"
    for k in range(levels):
        again = b"".join(b"X\x01\x00\x00\x00" + name + b"h" + bytes([k]) for name in (b"a", b"b"))
        stream += b"q" + bytes([k]) + b"0" + begin + b"(" + again + b"usb"
    return stream + b"."


class TooLong(BaseException):
    """Something takes more time than it may; no reader that expects any error takes it for one of its own."""


@contextmanager
def limited(*, seconds: float = 10.0, gigabytes: float = 2.0) -> Iterator[None]:
    """Allow so much time and so much more memory than there is in use, and raise an error where it is exceeded."""

    def stop(*_: Any) -> None:
        raise TooLong(f"not done after {seconds:g} s of the processor")

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGPROF, stop)
    resource.setrlimit(resource.RLIMIT_AS, (used + int(gigabytes * 2**30), before[1]))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)
