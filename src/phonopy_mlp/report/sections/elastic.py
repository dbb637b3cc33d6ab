"""Elastic constants, and Young's modulus in all directions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure as StaticFigure

from phonopy_mlp.elasticity import tensor
from phonopy_mlp.output import ELASTIC_FILE
from phonopy_mlp.report.chart import Array, rounded
from phonopy_mlp.report.folder import FinishedRun
from phonopy_mlp.report.markup import details, facts, paragraph, table
from phonopy_mlp.report.section import Figure, Section

_METHODS = {"stress_strain": "from stresses of strained cells", "long_waves": "from long acoustic waves"}
_AVERAGES = ("voigt", "reuss", "hill")
_VOIGT = ("xx", "yy", "zz", "yz", "xz", "xy")


def make(run: FinishedRun) -> Section | None:
    """Return the tensor by each method, averages, and the surface of Young's modulus."""
    content = run.read_yaml(ELASTIC_FILE) if run.did("elastic") else None
    if content is None:
        return None
    found = {name: content[name] for name in _METHODS if name in content}
    parts = [_describe(_METHODS[name], each) for name, each in found.items()]
    parts[1:] = [details(f"The same {_METHODS[name]}", part) for name, part in list(zip(found, parts, strict=True))[1:]]
    first, *_ = found.values()
    stiffness = np.array(first["stiffness_in_standard_axes"], dtype=float)
    stable = bool(first["born_stable"])
    figures = (_draw_young(stiffness),) if stable else ()
    moduli = [f"{first['hill'][name]:.2f}" for name in ("bulk_modulus", "shear_modulus")] if stable else []
    if not stable:
        parts.insert(0, paragraph("Not elastically stable: some strain lowers the energy.", kind="warning"))
    shown = (("Bulk, shear modulus (Hill)", f"{', '.join(moduli)} GPa"),) if stable else ()
    return Section("elastic", "Elastic constants", before="".join(parts), figures=figures, facts=shown)


def _describe(method: str, found: Mapping[str, Any]) -> str:
    stiffness = np.round(np.array(found["stiffness_in_standard_axes"], dtype=float), 3) + 0.0
    rows = [(name, *(f"{value:.3f}" for value in row)) for name, row in zip(_VOIGT, stiffness, strict=True)]
    averages = [
        (name.capitalize(), *(f"{found[name][kind]:.3f}" for kind in _KINDS)) for name in _AVERAGES if name in found
    ]
    text = paragraph(
        f"Stiffness in GPa, {method}, in the standard axes of {found['space_group']}: "
        f"{found['independent_constants']} independent constants; shear strains are engineering ones."
    )
    checks = facts(
        [
            ("Lowest eigenvalue (GPa)", float(found["eigenvalues"][0])),
            ("Universal anisotropy", found.get("universal_anisotropy")),
            ("Density (g/cm³)", found.get("density")),
            ("Largest change by averaging over the point group (GPa)", found.get("changed_by_symmetry")),
            ("What no elastic tensor describes (GPa)", found.get("fit_residual")),
            ("Residual stress (GPa)", found.get("residual_stress")),
        ]
    )
    moduli = table(averages, head=("average", "B (GPa)", "G (GPa)", "E (GPa)", "Poisson's ratio")) if averages else ""
    return text + table(rows, head=("", *_VOIGT)) + moduli + checks


_KINDS = ("bulk_modulus", "shear_modulus", "young_modulus", "poisson_ratio")


def young_surface(stiffness: Array, *, polar: int = 46, azimuthal: int = 91) -> tuple[Array, Array]:
    """Return a grid of directions, shape=(polar, azimuthal, 3), and Young's modulus (GPa) along them."""
    theta, phi = np.meshgrid(np.linspace(0, np.pi, polar), np.linspace(0, 2 * np.pi, azimuthal), indexing="ij")
    directions = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=-1)
    compliance = tensor.compliance_tensor(np.linalg.inv(stiffness))
    return directions, 1 / np.einsum("ijkl,...i,...j,...k,...l->...", compliance, *[directions] * 4, optimize=True)


def _draw_young(stiffness: Array) -> Figure:
    directions, modulus = young_surface(stiffness)
    surface = directions * modulus[..., None]
    axes = {name: {"title": {"text": f"{name} (GPa)"}} for name in "xyz"}
    return Figure(
        name="young",
        caption=f"Young's modulus along each direction, {modulus.min():.3g} to {modulus.max():.3g} GPa: the distance "
        "from the middle, and the colour. Turn it with a finger or the mouse.",
        data=(
            {
                "type": "surface",
                **{name: rounded(surface[..., k], 4) for k, name in enumerate("xyz")},
                "surfacecolor": rounded(modulus, 4),
                "colorscale": "Viridis",
                "colorbar": {"title": {"text": "E (GPa)"}, "thickness": 14, "len": 0.75},
                "hovertemplate": "E = %{surfacecolor:.3g} GPa<extra></extra>",
            },
        ),
        layout={"scene": {**{f"{name}axis": axis for name, axis in axes.items()}, "aspectmode": "data"}},
        draw=lambda: _draw_static(surface, modulus),
        height=480,
        wide=True,
    )


def _draw_static(surface: Array, modulus: Array) -> StaticFigure:
    figure = StaticFigure(figsize=(6.5, 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.add_subplot(projection="3d")
    scale, colours = Normalize(modulus.min(), modulus.max()), colormaps["viridis"]
    axes.plot_surface(
        *np.moveaxis(surface, -1, 0), facecolors=colours(scale(modulus)), rstride=1, cstride=1, shade=False
    )
    axes.set_aspect("equal")
    axes.set(xlabel="x (GPa)", ylabel="y (GPa)", zlabel="z (GPa)")
    figure.colorbar(ScalarMappable(scale, colours), ax=axes, shrink=0.6, pad=0.12, label="Young's modulus (GPa)")
    return figure
