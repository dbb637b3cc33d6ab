"""Starting structures of the frameworks, as crystallographic facts.

Each framework is given by its space group, cell and asymmetric unit, idealised and rounded to a few digits. They are
only starting points, relaxed with GFN1-xTB in their space groups; see build.sh.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import spglib
from ase import Atoms
from ase.build import niggli_reduce
from ase.spacegroup import crystal


@dataclass(frozen=True)
class Framework:
    """One framework.

    Attributes
    ----------
    name : str
        Name of the framework.
    spacegroup : int
        Number of the space group, standard setting (rhombohedral groups: hexagonal axes).
    cellpar : tuple of float
        a, b, c in Angstrom and alpha, beta, gamma in degrees of the conventional cell.
    sites : tuple of (str, float, float, float)
        Element and fractional coordinates of each atom of the asymmetric unit.
    natoms : int
        Number of atoms in the primitive cell.
    repeat : tuple of int
        Repetition of the primitive (Niggli-reduced) cell that is labelled.  tblite samples the Gamma point alone, so no
        axis of the labelled cell may be much shorter than 10 Angstrom.
    setting : int
        Origin choice of the space group.
    """

    name: str
    spacegroup: int
    cellpar: tuple[float, float, float, float, float, float]
    sites: tuple[tuple[str, float, float, float], ...]
    natoms: int
    repeat: tuple[int, int, int] = (1, 1, 1)
    setting: int = 1

    def primitive(self) -> Atoms:
        """Build the Niggli-reduced primitive cell.

        Returns
        -------
        Atoms
            Primitive cell with `natoms` atoms, sorted by element.
        """
        conventional = crystal(
            symbols=[site[0] for site in self.sites],
            basis=[site[1:] for site in self.sites],
            spacegroup=self.spacegroup,
            setting=self.setting,
            cellpar=self.cellpar,
        )
        cell = (conventional.cell.array, conventional.get_scaled_positions(), conventional.numbers)
        lattice, scaled, numbers = spglib.standardize_cell(cell, to_primitive=True, no_idealize=True, symprec=1e-4)
        atoms = Atoms(numbers=numbers, cell=lattice, scaled_positions=scaled, pbc=True)
        niggli_reduce(atoms)
        atoms = atoms[np.argsort([-z for z in atoms.numbers], kind="stable")]
        atoms.wrap(eps=1e-6)
        if len(atoms) != self.natoms:
            raise ValueError(f"{self.name}: {len(atoms)} atoms in the primitive cell, {self.natoms} expected")
        return atoms


MOF5 = Framework(
    name="MOF-5",
    spacegroup=225,
    cellpar=(26.06, 26.06, 26.06, 90.0, 90.0, 90.0),
    sites=(
        ("Zn", 0.2935, 0.2065, 0.7935),
        ("O", 0.25, 0.25, 0.75),
        ("O", 0.2809, 0.2191, 0.8668),
        ("C", 0.25, 0.25, 0.8890),
        ("C", 0.25, 0.25, 0.9464),
        ("C", 0.2830, 0.2170, 0.9733),
        ("H", 0.3083, 0.1917, 0.9518),
    ),
    natoms=106,
)

# Zr6O4(OH)4 node with tetrahedrally arranged hydroxyl groups, linkers in the planes z = 0.
UIO66 = Framework(
    name="UiO-66",
    spacegroup=216,
    cellpar=(20.80, 20.80, 20.80, 90.0, 90.0, 90.0),
    sites=(
        ("Zr", 0.12, 0.0, 0.0),
        ("O", 0.055, 0.055, 0.055),
        ("O", 0.935, 0.935, 0.935),
        ("O", 0.1725, 0.0940, 0.0),
        ("C", 0.1521, 0.1521, 0.0),
        ("C", 0.2027, 0.2027, 0.0),
        ("C", 0.2673, 0.1855, 0.0),
        ("H", 0.9080, 0.9080, 0.9080),
        ("H", 0.2809, 0.1347, 0.0),
    ),
    natoms=114,
)

MOF74 = Framework(
    name="MOF-74",
    spacegroup=148,
    cellpar=(26.11, 26.11, 6.69, 90.0, 90.0, 120.0),
    sites=(
        ("Zn", 0.3044, 0.2846, 0.3144),
        ("O", 0.3650, 0.3758, 0.2356),
        ("O", 0.4173, 0.0268, 0.1590),
        ("O", 0.3688, 0.1083, 0.2236),
        ("C", 0.4566, 0.0137, 0.0746),
        ("C", 0.4594, 0.4548, 0.1278),
        ("C", 0.4204, 0.4099, 0.2755),
        ("C", 0.5023, 0.0179, 0.1951),
        ("H", 0.3651, 0.1941, 0.3173),
    ),
    natoms=54,
    repeat=(2, 1, 1),
)

# Large-pore form.
MIL53 = Framework(
    name="MIL-53",
    spacegroup=74,
    cellpar=(6.6951, 16.4941, 13.3938, 90.0, 90.0, 90.0),
    sites=(
        ("Al", 0.75, 0.25, 0.75),
        ("O", 0.8306, 0.3326, 0.8428),
        ("O", 0.0, 0.25, 0.6896),
        ("C", 0.0, 0.3607, 0.8689),
        ("C", 0.0, 0.4325, 0.9370),
        ("C", 0.8186, 0.4662, 0.9689),
        ("H", 0.6797, 0.4390, 0.9430),
        ("H", 0.0, 0.25, 0.6174),
    ),
    natoms=38,
    repeat=(2, 1, 1),
)

# The paddlewheels' axes point along the diagonals of faces.
HKUST1 = Framework(
    name="HKUST-1",
    spacegroup=225,
    cellpar=(26.34, 26.34, 26.34, 90.0, 90.0, 90.0),
    sites=(
        ("Cu", 0.0, 0.2844, 0.2844),
        ("O", 0.0591, 0.3098, 0.2507),
        ("C", 0.1234, 0.3117, 0.1883),
        ("C", 0.0772, 0.2886, 0.2114),
        ("C", 0.2099, 0.3550, 0.1450),
        ("H", 0.2435, 0.3718, 0.1282),
    ),
    natoms=156,
)

# Park et al., Proc. Natl. Acad. Sci. 103, 10186 (2006), rounded; the group's hydrogen atoms in the ordered setting.
ZIF8 = Framework(
    name="ZIF-8",
    spacegroup=217,
    cellpar=(17.0, 17.0, 17.0, 90.0, 90.0, 90.0),
    sites=(
        ("Zn", 0.0, 0.5, 0.25),
        ("N", 0.086, 0.537, 0.178),
        ("C", 0.132, 0.492, 0.132),
        ("C", 0.103, 0.615, 0.160),
        ("C", 0.127, 0.405, 0.127),
        ("H", 0.073, 0.663, 0.188),
        ("H", 0.083, 0.387, 0.083),
        ("H", 0.184, 0.379, 0.110),
    ),
    natoms=138,
)

# SALEM-2 (Karagiaridi et al., J. Am. Chem. Soc. 134, 18790 (2012)) has a hydrogen atom in place of the methyl group;
# here in the direction of its carbon atom, at 1.08 A.
SALEM2 = replace(
    ZIF8, name="SALEM-2", sites=(*ZIF8.sites[:4], ZIF8.sites[5], ("H", 0.1284, 0.4287, 0.1284)), natoms=102
)

MG_MOF74 = replace(
    MOF74,
    name="Mg-MOF-74",
    cellpar=(25.9, 25.9, 6.87, 90.0, 90.0, 120.0),
    sites=tuple(("Mg" if symbol == "Zn" else symbol, *place) for symbol, *place in MOF74.sites),
)

# The titanium analogue of MIL-47, TiO(bdc): as MIL-53, without the hydrogen atoms of the chains.
MIL47 = replace(
    MIL53,
    name="MIL-47(Ti)",
    cellpar=(6.82, 16.2, 13.9, 90.0, 90.0, 90.0),
    sites=tuple(("Ti" if symbol == "Al" else symbol, *place) for symbol, *place in MIL53.sites[:-1]),
    natoms=36,
)

# Zn2(bdc)2(dabco), Dybtsev et al., Angew. Chem. Int. Ed. 43, 5033 (2004); the pillar, disordered there, is ordered with
# one of its mirrors along a linker, and bond lengths are usual ones. The pillars point along a.
DMOF1 = Framework(
    name="DMOF-1",
    spacegroup=25,
    cellpar=(9.61, 10.93, 10.93, 90.0, 90.0, 90.0),
    sites=(
        ("Zn", 0.1535, 0.0, 0.0),
        ("N", 0.3658, 0.0, 0.0),
        ("O", 0.1165, 0.183, 0.0),
        ("O", 0.1165, 0.0, 0.183),
        ("O", 0.1165, 0.0, -0.183),
        ("C", 0.0, 0.236, 0.0),
        ("C", 0.0, 0.0, 0.236),
        ("C", 0.0, 0.0, -0.236),
        ("C", 0.0, 0.3733, 0.0),
        ("C", 0.0, 0.0, 0.3733),
        ("C", 0.0, 0.0, -0.3733),
        ("C", 0.1253, 0.4364, 0.0),
        ("C", 0.1253, 0.0, 0.4364),
        ("C", 0.1253, 0.0, -0.4364),
        ("H", 0.2226, 0.387, 0.0),
        ("H", 0.2226, 0.0, 0.387),
        ("H", 0.2226, 0.0, -0.387),
        ("C", 0.4194, 0.0, 0.126),
        ("C", 0.4194, 0.1091, -0.063),
        ("H", 0.381, 0.0814, 0.1747),
        ("H", 0.381, 0.1919, -0.0168),
        ("H", 0.381, 0.1105, -0.1578),
    ),
    natoms=54,
)

FRAMEWORKS: dict[str, Framework] = {f.name: f for f in (MOF5, UIO66, MOF74, MIL53, HKUST1, MG_MOF74, MIL47, DMOF1)}
