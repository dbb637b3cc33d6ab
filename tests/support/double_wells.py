"""Crystals whose instabilities are known by heart."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress
from matscipy.neighbours import neighbour_list

EDGES = np.array([4.0, 4.0, 4.2])
SHEARED_EDGES = np.array([4.0, 4.2, 4.4])


class PairVectors(Calculator):
    """Energy that depends on vectors between atoms alone, so on neither place nor, with `terms` to match, rotation."""

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012  (ASE's own convention)

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def terms(self, atoms):
        """Return energy, first and second atoms, vectors between them, and derivatives by these vectors."""
        raise NotImplementedError

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        energy, first, second, vectors, gradients = self.terms(atoms)
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, first, gradients)
        np.add.at(forces, second, -gradients)
        virial = np.einsum("pa,pb->ab", vectors, gradients)
        self.results = {
            "energy": energy,
            "forces": forces,
            "stress": full_3x3_to_voigt_6_stress((virial + virial.T) / 2 / atoms.get_volume()),
        }


class DoubleWells(PairVectors):
    """Cl in cages of eight Cs; w is how far it is from the cage's centre, i and j are neighbours along the edges.

    E = sum_i sum_xyz (a w^2 / 2 + b w^4 / 4) + J/2 sum_<ij> (w_i - w_j)^2 + springs between Cs

    Per cell, with all w alike: m omega^2 = a with the reduced mass, and for a < 0 a minimum at w^2 = -a/b with
    E = -a^2/4b for each direction. With alternating signs along all edges Cs stays, and a + 12 J takes the place of a.

    Parameters
    ----------
    a : sequence of float
        Along x, y and z, in eV/A^2.
    b : float
        In eV/A^4.
    coupling : float
        J in eV/A^2.

    """

    def __init__(self, a, b=20.0, coupling=0.0):
        super().__init__()
        self.a, self.b, self.coupling = np.array(a, dtype=float), b, coupling
        self.spring = 3.0

    def displacements(self, atoms):
        """Return w of each Cl. shape=(Cl, 3)"""
        return self._wells(atoms, *neighbour_list("ijD", atoms, 6.6))[0]

    def terms(self, atoms):
        first, second, vectors = neighbour_list("ijD", atoms, 6.6)
        w, cage, centres = self._wells(atoms, first, second, vectors)
        steps = np.rint(vectors / EDGES)
        shell = (np.abs(vectors / EDGES - steps).max(axis=1) < 0.3) * (steps**2).sum(axis=1)
        host = atoms.symbols == "Cs"
        springs = host[first] & host[second] & np.isin(shell, (1, 2))
        length = np.linalg.norm(vectors[springs], axis=1)
        stretch = length - np.linalg.norm(steps[springs] * EDGES, axis=1)
        ties = ~host[first] & ~host[second] & (shell == 1)
        difference = w[centres[first[ties]]] - w[centres[second[ties]]]
        energy = (self.a * w**2 / 2 + self.b * w**4 / 4).sum() + self.coupling / 4 * (difference**2).sum()
        energy += self.spring / 4 * (stretch**2).sum()
        slope = self.a * w + self.b * w**3
        np.add.at(slope, centres[first[ties]], self.coupling * difference)
        gradients = np.zeros_like(vectors)
        gradients[springs] = self.spring / 2 * (stretch / length)[:, None] * vectors[springs]
        gradients[cage] = -slope[centres[first[cage]]] / 8
        return float(energy), first, second, vectors, gradients

    def _wells(self, atoms, first, second, vectors):
        guest = atoms.symbols == "Cl"
        centres = np.cumsum(guest) - 1
        cage = guest[first] & ~guest[second] & (np.linalg.norm(vectors, axis=1) < 5.0)
        w = np.zeros((guest.sum(), 3))
        np.add.at(w, centres[first[cage]], -vectors[cage] / 8)
        assert np.all(np.bincount(first[cage], minlength=len(atoms))[guest] == 8)
        return w, cage, centres


class Shearing(PairVectors):
    """Ar on a lattice with right angles that would rather have others between x and y.

    With X half the vector between an atom's neighbours at +x and -x, and so on, E per atom is
    -alpha/2 c^2 + beta/4 c^4 for c = cos(X, Y), the positive stiffness mu of the other two angles, the stiffness kappa
    against a bend of a row, and springs along the rows. A homogeneous shear has its minimum at c^2 = alpha/beta with
    E = -alpha^2 / 4 beta. Waves along x that move along y have rho v^2 = -alpha / V; at half the zone the bend wins.

    With gamma it would rather swell or shrink: E per atom has -gamma/2 t^2 + delta/4 t^4, t being the trace of
    Lagrange's strain of X, Y and Z. It takes gamma / V from C11, C12 and their like and nothing from shears, so that
    the bulk modulus can be negative where every wave is stable.
    """

    def __init__(self, alpha=0.5, beta=50.0, gamma=0.0, delta=0.0):
        super().__init__()
        self.alpha, self.beta, self.mu, self.kappa, self.spring = alpha, beta, 1.0, 0.5, 5.0
        self.gamma, self.delta = gamma, delta

    def terms(self, atoms):
        first, second, vectors = neighbour_list("ijD", atoms, 5.6)
        steps = np.rint(vectors / SHEARED_EDGES).astype(int)
        near = np.abs(steps).sum(axis=1) == 1
        first, second, vectors, steps = first[near], second[near], vectors[near], steps[near]
        assert len(first) == 6 * len(atoms)
        axis, side = np.abs(steps).argmax(axis=1), (steps.sum(axis=1) < 0).astype(int)
        around, slopes = np.zeros((2, len(atoms), 3, 2, 3))
        around[first, axis, side] = vectors
        half, bend = (around[:, :, 0] - around[:, :, 1]) / 2, around.sum(axis=2)
        length = np.linalg.norm(around, axis=-1)
        stretch = length - SHEARED_EDGES[:, None]
        energy = self.kappa / 2 * (bend**2).sum() + self.spring / 4 * (stretch**2).sum()
        slopes += self.kappa * bend[:, :, None] + self.spring / 2 * (stretch / length)[..., None] * around
        for i, j in ((0, 1), (0, 2), (1, 2)):
            area = SHEARED_EDGES[i] * SHEARED_EDGES[j]
            cosine = (half[:, i] * half[:, j]).sum(axis=1) / area
            if (i, j) == (0, 1):
                energy += (-self.alpha / 2 * cosine**2 + self.beta / 4 * cosine**4).sum()
                slope = -self.alpha * cosine + self.beta * cosine**3
            else:
                energy += self.mu / 2 * (cosine**2).sum()
                slope = self.mu * cosine
            for one, other in ((i, j), (j, i)):
                push = slope[:, None] * half[:, other] / area / 2
                slopes[:, one, 0] += push
                slopes[:, one, 1] -= push
        trace = ((half**2).sum(axis=2) / SHEARED_EDGES**2 - 1).sum(axis=1) / 2
        energy += (-self.gamma / 2 * trace**2 + self.delta / 4 * trace**4).sum()
        push = (-self.gamma * trace + self.delta * trace**3)[:, None, None] * half / SHEARED_EDGES[:, None] ** 2 / 2
        slopes[:, :, 0] += push
        slopes[:, :, 1] -= push
        return float(energy), first, second, vectors, slopes[first, axis, side]


class Appearing(DoubleWells):
    """Cl that alternates along z as soon as the volume per cell is large enough.

    a + 12 J = slope (appears - V/V0) along z. Beyond V = appears V0 the wells take (a + 12 J)^2 / 4b from the energy
    per cell, and Cl vibrates about their bottoms with m omega^2 = -2 (a + 12 J).

    Parameters
    ----------
    appears : float
        Volume over that of `EDGES` at which the wells appear.
    slope : float
        In eV/A^2.

    """

    def __init__(self, appears, slope=5.0):
        super().__init__((5, 5, 0), b=20.0, coupling=-0.1)
        self.appears, self.slope = appears, slope

    def instability(self, volume):
        """Return a + 12 J at a volume per cell (A^3)."""
        return self.slope * (self.appears - volume / EDGES.prod())

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        cells, step = len(atoms) // 2, 1e-3
        volume = atoms.get_volume() / cells
        self.a[2] = self.instability(volume) - 12 * self.coupling
        super().calculate(atoms, properties, system_changes)
        slope = (self.instability(volume + step) - self.instability(volume - step)) / (2 * step)
        self.results["stress"][:3] += slope / cells * (self.displacements(atoms)[:, 2] ** 2).sum() / 2


class Noisy(DoubleWells):
    """The same with forces that scatter, alike whenever the positions are."""

    noise = 1e-5

    def describe(self):
        return {"name": "noisy", "force_noise": self.noise}

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        seed = np.abs(np.round(atoms.positions, 6) * 1e6).astype(int).ravel()
        self.results["forces"] += np.random.default_rng(seed).normal(scale=self.noise, size=(len(atoms), 3))


class Single(DoubleWells):
    """The same in single precision, as who says nothing of it: positions, an energy of many eV, and forces."""

    offset = -500.0

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        rounded = atoms.copy()
        rounded.positions = atoms.positions.astype(np.float32)
        super().calculate(rounded, properties, system_changes)
        self.results["energy"] += self.offset * len(atoms)
        self.results = {name: np.float32(value).astype(float) for name, value in self.results.items()}
        self.atoms = atoms.copy()


def caesium_chloride(edges=EDGES) -> Atoms:
    """Return the cell with Cl in the middle of its cage."""
    return Atoms("CsCl", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=edges, pbc=True)


def argon() -> Atoms:
    """Return the cell of `Shearing` with right angles."""
    return Atoms("Ar", cell=SHEARED_EDGES, pbc=True)
