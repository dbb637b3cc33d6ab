import pickle

import pytest

from mace_mof_calc import errors


def test_message_is_what_why_remedy():
    error = errors.WeightsError(what="No file", why="The disk is empty", remedy="Fill it.")
    assert str(error) == "No file. The disk is empty. Fill it."
    assert str(errors.DeviceError("No such device", "", "Use cpu")) == "No such device. Use cpu."


@pytest.mark.parametrize("name", errors.__all__)
def test_errors_survive_pickling(name):
    error = getattr(errors, name)("what", "why", "remedy")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (str(copy), copy.what, copy.why, copy.remedy) == (str(error), "what", "why", "remedy")


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("UnknownModelError", ValueError),
        ("WeightsError", OSError),
        ("ModelFileError", ValueError),
        ("UnknownHeadError", ValueError),
        ("UnsupportedElementError", ValueError),
        ("DispersionError", ValueError),
        ("MissingExtraError", ImportError),
        ("DeviceError", ValueError),
    ],
)
def test_errors_are_builtin_errors_too(name, builtin):
    assert issubclass(getattr(errors, name), builtin)
    assert issubclass(getattr(errors, name), errors.MaceMofError)
