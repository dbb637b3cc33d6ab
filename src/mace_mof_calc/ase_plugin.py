"""How ASE finds the calculators of this package by name.

ASE has two ways, and neither looks into the other:

* its plugin system (``ase info --plugins``; new in ASE 3.29 and experimental) reads ``__ase_plugins__`` of this module,
  which the entry point group ``ase.plugins`` names;
* ``ase.calculators.calculator.get_calculator_class`` knows classes that were registered while the program runs.

Both get stand-ins that import a calculator, and PyTorch with it, on first use. ASE loads this module in every process
that touches its plugins, so nothing in here may raise: a failure is logged and our calculators are missing from the
list.
"""

from __future__ import annotations

import logging
from functools import cache
from importlib import import_module
from typing import Any

logger = logging.getLogger(__name__)

PAPER = "A. M. Elena, P. D. Kamath, T. Jaffrelot Inizan et al., npj Comput. Mater. 11, 125 (2025)"

#: Name in ASE -> (dotted path of the class, citation).
CALCULATORS = {
    "mace-mof": ("mace_mof_calc.calculator.MaceMOF", PAPER),
    "mace-mp-0b-d3": (
        "mace_mof_calc.comparators.MaceMP0bD3",
        "I. Batatia et al., arXiv:2401.00096; S. Grimme et al., J. Comput. Chem. 32, 1456 (2011)",
    ),
    "gfn1-xtb": (
        "mace_mof_calc.xtb.GFN1xTB",
        "S. Grimme, C. Bannwarth, P. Shushkov, J. Chem. Theory Comput. 13, 1989 (2017)",
    ),
}


class DeferredClass(type):
    """Metaclass of a stand-in for a calculator class that is imported on first use.

    Calling the stand-in builds the calculator; its attributes, ``isinstance`` and ``issubclass`` are those of the class
    that it stands for.
    """

    target: str

    def resolve(cls) -> type:
        """Import and return the class that this one stands for."""
        module, _, name = cls.target.rpartition(".")
        resolved: type = getattr(import_module(module), name)
        return resolved

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """Build the calculator."""
        return cls.resolve()(*args, **kwargs)

    def __getattr__(cls, name: str) -> Any:
        """Look `name` up on the class that this one stands for."""
        return getattr(cls.resolve(), name)

    def __instancecheck__(cls, instance: object) -> bool:
        """Tell whether `instance` is an instance of the class that this one stands for."""
        return isinstance(instance, cls.resolve())

    def __subclasscheck__(cls, subclass: type) -> bool:
        """Tell whether `subclass` derives from the class that this one stands for."""
        return subclass is cls or issubclass(subclass, cls.resolve())


def register_calculators() -> None:
    """Make ``get_calculator_class("mace-mof")`` and the other names of `CALCULATORS` work.

    Names that are taken stay with their owner.
    """
    try:
        from ase.calculators.calculator import external_calculators, register_calculator_class

        for name, (target, _) in CALCULATORS.items():
            if name not in external_calculators:
                stand_in = DeferredClass(target.rpartition(".")[2], (), {"target": target, "__module__": __name__})
                register_calculator_class(name, stand_in)
    except Exception:
        logger.debug("ASE does not take calculators at run time", exc_info=True)


@cache
def _plugins() -> frozenset[Any]:
    """Describe our calculators to ASE's plugin system; empty where ASE has none."""
    try:
        from ase._4.plugins.plugin import CalculatorPlugin

        return frozenset(
            CalculatorPlugin(name, implementation=target, citation=citation)
            for name, (target, citation) in CALCULATORS.items()
        )
    except Exception:
        logger.debug("this version of ASE has no plugin system that we know", exc_info=True)
        return frozenset()


def __getattr__(name: str) -> Any:
    # ASE reads __ase_plugins__ in the middle of importing its own plugin package. Were the set built on import, it
    # would be empty whenever this module comes first: it would start ASE's package, which would then read it
    # half-made.
    if name == "__ase_plugins__":
        return _plugins()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
