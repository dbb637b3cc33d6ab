"""Files that VASP could have written: synthetic, in its layout, from numbers that a test knows.

No calculation stands behind them. There are recorded ones in ASE's own package, which the tests read too.
"""

from __future__ import annotations

import numpy as np

from mace_mof_calc.training.label.vasp_inputs import plan_inputs

DATES = {
    "H": "15Jun2001",
    "C": "08Apr2002",
    "O": "08Apr2002",
    "Cu_pv": "06Sep2000",
    "Zn": "06Sep2000",
    "Zr_sv": "04Jan2005",
}

ENERGIES = (-31.5, -31.25, -31.375)
STRESS = np.array([[10.0, 1.0, 2.0], [1.0, 20.0, 3.0], [2.0, 3.0, 30.0]])


def write_output(folder, frame, forces, **changes):
    """Write what VASP would have for a frame, its forces in the frame's order."""
    (planned,) = plan_inputs([frame])
    order = list(planned.order)
    arguments = {
        "atoms": frame[order],
        "incar": planned.incar,
        "mesh": planned.mesh,
        "potentials": planned.potentials,
        "energies": ENERGIES,
        "forces": forces[order],
        "stress": STRESS,
        **changes,
    }
    path = folder / planned.folder / "vasprun.xml"
    write_vasprun(path, **arguments)
    return path


def write_vasprun(path, atoms, incar, mesh, potentials, *, energies, forces, stress, style="Gamma", **options):
    """Write a vasprun.xml.

    Parameters
    ----------
    path : Path
    atoms : Atoms
        In VASP's order, by element.
    incar : mapping
        Tags.
    mesh : sequence of int
    potentials : sequence of str
        Names of the PAW data sets.
    energies : tuple of float
        Free, without entropy, and for sigma -> 0, of the ionic step; eV.
    forces : ndarray, shape=(natoms, 3)
        eV/Angstrom.
    stress : ndarray, shape=(3, 3)
        kBar, positive under compression.
    style : str, optional
        Kind of mesh.
    **options
        ``shift``: of the mesh (0 0 0); ``dates``: of PAW data sets, by name; ``parameters``: tags that VASP used and
        INCAR did not have; ``electronic``: number of electronic steps (8); ``nelm``: largest number (as in `incar`);
        ``ionic``: number of ionic steps (1); ``dispersion``: what the electronic steps lack, eV (-2).
    """
    electronic, ionic = options.get("electronic", 8), options.get("ionic", 1)
    nelm = options.get("nelm", incar.get("NELM", 60))
    dispersion = options.get("dispersion", -2.0)
    shift = "".join(f"{part:17.8f}" for part in options.get("shift", (0.0, 0.0, 0.0)))
    dates = DATES | options.get("dates", {})
    symbols = atoms.get_chemical_symbols()
    kinds = list(dict.fromkeys(symbols))
    structure = _structure(atoms)
    steps = [_scstep([value - dispersion for value in energies])] * electronic
    calculation = [
        "<calculation>",
        *steps,
        structure,
        _varray("forces", forces),
        _varray("stress", stress),
        _energy(energies),
        "</calculation>",
    ]
    lines = [
        '<?xml version="1.0" encoding="ISO-8859-1"?>',
        "<modeling>",
        "<generator>",
        '<i name="program" type="string">vasp </i>',
        '<i name="version" type="string">6.3.2  </i>',
        "</generator>",
        "<incar>",
        *(_tag(name, value) for name, value in incar.items()),
        "</incar>",
        "<kpoints>",
        f'<generation param="{style}">',
        f'<v type="int" name="divisions">{mesh[0]:8d} {mesh[1]:8d} {mesh[2]:8d} </v>',
        f'<v name="usershift">{shift} </v>',
        "</generation>",
        _varray("kpointlist", np.zeros((1, 3))),
        _varray("weights", np.ones((1, 1))),
        "</kpoints>",
        "<parameters>",
        '<separator name="electronic" >',
        _tag("ENMAX", float(incar.get("ENCUT", 400.0))),
        _tag("NELM", nelm),
        *(_tag(name, value) for name, value in options.get("parameters", {}).items()),
        "</separator>",
        "</parameters>",
        "<atominfo>",
        f"<atoms>{len(atoms):8d} </atoms>",
        f"<types>{len(kinds):8d} </types>",
        '<array name="atoms" ><dimension dim="1">ion</dimension><field type="string">element</field>'
        '<field type="int">atomtype</field><set>',
        *(f"<rc><c>{symbol:2s}</c><c>{kinds.index(symbol) + 1:4d}</c></rc>" for symbol in symbols),
        "</set></array>",
        '<array name="atomtypes" ><dimension dim="1">type</dimension><field type="int">atomspertype</field>'
        '<field type="string">element</field><field>mass</field><field>valence</field>'
        '<field type="string">pseudopotential</field><set>',
        *(
            f"<rc><c>{symbols.count(kind):4d}</c><c>{kind:2s}</c><c>1.0</c><c>1.0</c>"
            f"<c>  PAW_PBE {name} {dates[name]}  </c></rc>"
            for kind, name in zip(kinds, potentials, strict=True)
        ),
        "</set></array>",
        "</atominfo>",
        structure.replace("<structure>", '<structure name="initialpos" >'),
        *calculation * ionic,
        structure.replace("<structure>", '<structure name="finalpos" >'),
        "</modeling>",
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def _tag(name, value):
    if isinstance(value, bool):
        return f'<i type="logical" name="{name}"> {"T" if value else "F"}  </i>'
    if isinstance(value, int):
        return f'<i type="int" name="{name}">{value:6d}</i>'
    if isinstance(value, str):
        return f'<i type="string" name="{name}">{value.lower() if name == "PREC" else value}</i>'
    return f'<i name="{name}">{value:16.8f}</i>'


def _varray(name, rows):
    text = "".join(f"<v>{''.join(f'{value:17.8f}' for value in row)} </v>\n" for row in rows)
    return f'<varray name="{name}" >\n{text}</varray>'


def _energy(energies):
    names = ("e_fr_energy", "e_wo_entrp", "e_0_energy")
    rows = "".join(f'<i name="{name}">{value:16.8f} </i>' for name, value in zip(names, energies, strict=True))
    return f"<energy>{rows}</energy>"


def _scstep(energies):
    return f"<scstep>{_energy(energies)}</scstep>"


def _structure(atoms):
    crystal = (
        f'<crystal>{_varray("basis", atoms.cell.array)}<i name="volume">{atoms.get_volume():16.8f} </i>'
        f"{_varray('rec_basis', atoms.cell.reciprocal().array)}</crystal>"
    )
    positions = _varray("positions", atoms.get_scaled_positions(wrap=True))
    return f"<structure>{crystal}{positions}</structure>"
