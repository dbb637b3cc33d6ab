"""Options from a file: a YAML mapping, or the record of an earlier run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from phonopy_mlp.errors import SettingsError
from phonopy_mlp.files import parse_yaml
from phonopy_mlp.registry import calculator_names, is_model_file

OPTION = "--mlp-config"

_WITH_COMMAS = ("--committee", "--fix-atoms", "--stabilise-md-held", "--stabilise-methods")
"""Options whose several values are one word, with commas between them."""


def expand(argv: Sequence[str], command: str) -> list[str]:
    """Put the options of a file in the place of ``--mlp-config FILE``.

    A mapping has an entry for each option, by its name without hyphens before it: ``true`` for one without a value, a
    list for one with several, ``structure`` for the structure. The record of a run (``phonopy_mlp.yaml``) stands for
    the options of that run. What the command line itself says comes later, and so has the last word.

    Raises
    ------
    SettingsError
        There is no such file, it is not such a mapping, or the record is one of another `command`.

    """
    words, files = _take_out(argv)
    found = [word for file in files for word in _read(Path(file), command)]
    if any(_is_model(word) for word in found):
        # The bare option only makes the hook call us; it must not take back what the file says.
        words = [word for k, word in enumerate(words) if word != "--mlp" or _names_a_model(words[k + 1 :])]
    return [*found, *words]


def _take_out(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    words, files = [], []
    rest = iter(argv)
    for word in rest:
        if word == OPTION:
            file = next(rest, None)
            if file is None:
                raise SettingsError(OPTION, "no file was named", f"Give for example {OPTION} settings.yaml")
            files.append(file)
        elif word.startswith(f"{OPTION}="):
            files.append(word.removeprefix(f"{OPTION}="))
        else:
            words.append(word)
    return words, files


def _read(path: Path, command: str) -> list[str]:
    try:
        content = parse_yaml(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"Options file '{path}'", error.strerror or str(error), "Check its name") from error
    except ValueError as error:
        raise SettingsError(
            f"Options file '{path}' cannot be read", str(error), "It must be YAML, without tags and aliases"
        ) from error
    if not isinstance(content, dict):
        raise SettingsError(f"Options file '{path}'", "it is not a mapping", "Write lines such as 'relax: true'")
    record = content.get("phonopy_mlp")
    if isinstance(record, Mapping):
        words = record.get("command")
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise SettingsError(f"Record '{path}'", "it does not say the command of its run", "Give the options anew")
        name, rest = (words[1:2], words[2:]) if words[:1] == ["phonopy-mlp"] else (["run"], words[1:])
        if name != [command]:
            raise SettingsError(
                f"Record '{path}'",
                f"it is of '{' '.join(['phonopy-mlp', *name])}', and not of '{command}'",
                "Give its options anew, or repeat that command",
            )
        return rest
    return [word for name, value in content.items() for word in _words(path, str(name), value)]


def _words(path: Path, name: str, value: Any) -> Iterator[str]:
    option = f"-{name}" if len(name) == 1 else f"--{name.replace('_', '-')}"
    values = value if isinstance(value, list) else [value]
    if any(isinstance(each, dict | list) or each is None for each in values):
        raise SettingsError(
            f"Option '{name}' in '{path}'",
            "it is neither a value nor a list of values",
            "Write for example dim: [2, 2, 2]",
        )
    if name == "structure":
        yield from (str(each) for each in values)
    elif value is True:
        yield option
    elif value is not False:
        words = [str(each) for each in values]
        words = [",".join(words)] if option in _WITH_COMMAS else words
        # argparse takes a word with a space, of an option that it does not know, for a value of the option before.
        joined = len(words) == 1 and len(name) > 1 and " " not in words[0]
        yield from [f"{option}={words[0]}"] if joined else [option, *words]


def _is_model(word: str) -> bool:
    return word == "--mlp" or word.startswith("--mlp=")


def _names_a_model(following: Sequence[str]) -> bool:
    return bool(following) and (is_model_file(following[0]) or following[0] in calculator_names())
