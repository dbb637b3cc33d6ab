"""The two sums that are no matrix products, and their derivatives, as loops that Numba compiles.

Arrays are ``(component, atom, channel)``, so that every innermost loop runs over channels. Each call does the atoms
from `low` to `high` (receivers, where there are edges).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

Array = np.ndarray[Any, Any]
Function = TypeVar("Function", bound=Callable[..., None])


def compiled(function: Function) -> Function:
    """Compile a function at its first call, and keep the result on disk."""
    options: dict[str, Any] = {
        "fastmath": {"contract", "reassoc", "nsz"},
        "cache": True,
        "error_model": "numpy",
        "nogil": True,
    }
    return cast("Function", numba.njit(**options)(function))


@compiled
def product(
    x: Array,
    a: int,
    b: int,
    i: int,
    v: Array,
) -> None:
    """Put the product of the factors a and b of an atom into `v`."""
    for c in range(v.shape[0]):
        v[c] = 1.0
    if a >= 0:
        for c in range(v.shape[0]):
            v[c] = x[a, i, c]
    if b >= 0:
        for c in range(v.shape[0]):
            v[c] *= x[b, i, c]


@compiled
def contract(
    low: int,
    high: int,
    x: Array,
    elements: Array,
    pairs: Array,
    first: Array,
    output: Array,
    last: Array,
    coefficients: Array,
    y: Array,
) -> None:
    """Add the polynomial of each atom's `x` to `y`."""
    v = np.empty(x.shape[2], x.dtype)
    for i in range(low, high):
        z = elements[i]
        for p in range(pairs.shape[0]):
            product(x, pairs[p, 0], pairs[p, 1], i, v)
            for t in range(first[p], first[p + 1]):
                o, f = output[t], last[t]
                for c in range(x.shape[2]):
                    y[o, i, c] += coefficients[z, t, c] * v[c] * x[f, i, c]


@compiled
def contract_reverse(
    low: int,
    high: int,
    x: Array,
    gy: Array,
    elements: Array,
    pairs: Array,
    first: Array,
    output: Array,
    last: Array,
    coefficients: Array,
    gx: Array,
) -> None:
    """Add the gradient by `x` of the polynomial's product with `gy` to `gx`."""
    v, g = np.empty(x.shape[2], x.dtype), np.empty(x.shape[2], x.dtype)
    for i in range(low, high):
        z = elements[i]
        for p in range(pairs.shape[0]):
            a, b = pairs[p, 0], pairs[p, 1]
            product(x, a, b, i, v)
            g[:] = 0.0
            for t in range(first[p], first[p + 1]):
                o, f = output[t], last[t]
                for c in range(x.shape[2]):
                    w = coefficients[z, t, c] * gy[o, i, c]
                    gx[f, i, c] += w * v[c]
                    g[c] += w * x[f, i, c]
            if b >= 0:
                for c in range(x.shape[2]):
                    gx[a, i, c] += g[c] * x[b, i, c]
                for c in range(x.shape[2]):
                    gx[b, i, c] += g[c] * x[a, i, c]
            elif a >= 0:
                for c in range(x.shape[2]):
                    gx[a, i, c] += g[c]


@compiled
def gather(
    low: int,
    high: int,
    start: Array,
    sender: Array,
    row: Array,
    radial: Array,
    h: Array,
    angular: Array,
    path: Array,
    component: Array,
    first: Array,
    output: Array,
    s: Array,
) -> None:
    """Add the messages of each atom's edges to `s`."""
    t = np.empty(s.shape[2], s.dtype)
    for i in range(low, high):
        for e in range(start[i], start[i + 1]):
            j, r = sender[e], row[e]
            for g in range(path.shape[0]):
                k, a = path[g], component[g]
                for c in range(s.shape[2]):
                    t[c] = radial[r, k, c] * h[a, j, c]
                for q in range(first[g], first[g + 1]):
                    m, o = angular[e, q], output[q]
                    for c in range(s.shape[2]):
                        s[o, i, c] += m * t[c]


@compiled
def gather_reverse(
    low: int,
    high: int,
    start: Array,
    sender: Array,
    row: Array,
    radial: Array,
    slope: Array,
    h: Array,
    angular: Array,
    path: Array,
    component: Array,
    first: Array,
    output: Array,
    gs: Array,
    gangular: Array,
    gdistance: Array,
    gh: Array,
) -> None:
    """Add the gradients of the messages' product with `gs`: by h to `gh`, by the distances to `gdistance`.

    The gradient by `angular` is put into `gangular`.
    """
    s, t = np.empty(gs.shape[2], gs.dtype), np.empty(gs.shape[2], gs.dtype)
    for i in range(low, high):
        for e in range(start[i], start[i + 1]):
            j, r = sender[e], row[e]
            along = 0.0
            for g in range(path.shape[0]):
                k, a = path[g], component[g]
                for c in range(gs.shape[2]):
                    t[c] = radial[r, k, c] * h[a, j, c]
                    s[c] = 0.0
                for q in range(first[g], first[g + 1]):
                    m, o = angular[e, q], output[q]
                    d = 0.0
                    for c in range(gs.shape[2]):
                        s[c] += m * gs[o, i, c]
                        d += gs[o, i, c] * t[c]
                    gangular[e, q] = d
                for c in range(gs.shape[2]):
                    gh[a, j, c] += s[c] * radial[r, k, c]
                    along += s[c] * h[a, j, c] * slope[r, k, c]
            gdistance[e] += along


@compiled
def contract_tangent(
    low: int,
    high: int,
    x: Array,
    atom: Array,
    dx: Array,
    elements: Array,
    pairs: Array,
    first: Array,
    output: Array,
    last: Array,
    coefficients: Array,
    dy: Array,
) -> None:
    """Add the polynomial's derivative along `dx` to `dy`; node i of the tangents is atom ``atom[i]`` of `x`."""
    n = dx.shape[2]
    v, dv = np.empty(n, x.dtype), np.empty(n, x.dtype)
    for i in range(low, high):
        j = atom[i]
        z = elements[j]
        for p in range(pairs.shape[0]):
            a, b = pairs[p, 0], pairs[p, 1]
            product(x, a, b, j, v)
            product_tangent(x, dx, a, b, j, i, dv)
            for t in range(first[p], first[p + 1]):
                o, f = output[t], last[t]
                for c in range(n):
                    dy[o, i, c] += coefficients[z, t, c] * (dv[c] * x[f, j, c] + v[c] * dx[f, i, c])


@compiled
def product_tangent(
    x: Array,
    dx: Array,
    a: int,
    b: int,
    j: int,
    i: int,
    dv: Array,
) -> None:
    """Put the derivative of the product of the factors a and b into `dv`."""
    if a < 0:
        dv[:] = 0.0
    elif b < 0:
        for c in range(dv.shape[0]):
            dv[c] = dx[a, i, c]
    else:
        for c in range(dv.shape[0]):
            dv[c] = dx[a, i, c] * x[b, j, c] + x[a, j, c] * dx[b, i, c]


@compiled
def contract_reverse_tangent(
    low: int,
    high: int,
    x: Array,
    gy: Array,
    atom: Array,
    dx: Array,
    dgy: Array,
    elements: Array,
    pairs: Array,
    first: Array,
    output: Array,
    last: Array,
    coefficients: Array,
    dgx: Array,
) -> None:
    """Add the derivative of `contract_reverse` along `dx` and `dgy` to `dgx`."""
    n = dgx.shape[2]
    v, dv = np.empty(n, x.dtype), np.empty(n, x.dtype)
    g, dg = np.empty(n, x.dtype), np.empty(n, x.dtype)
    for i in range(low, high):
        j = atom[i]
        z = elements[j]
        moved = i < dx.shape[1]
        for p in range(pairs.shape[0]):
            a, b = pairs[p, 0], pairs[p, 1]
            product(x, a, b, j, v)
            g[:] = 0.0
            dg[:] = 0.0
            if moved:
                product_tangent(x, dx, a, b, j, i, dv)
                for t in range(first[p], first[p + 1]):
                    o, f = output[t], last[t]
                    for c in range(n):
                        w = coefficients[z, t, c] * gy[o, j, c]
                        dw = coefficients[z, t, c] * dgy[o, i, c]
                        dgx[f, i, c] += dw * v[c] + w * dv[c]
                        g[c] += w * x[f, j, c]
                        dg[c] += dw * x[f, j, c] + w * dx[f, i, c]
            else:
                for t in range(first[p], first[p + 1]):
                    o, f = output[t], last[t]
                    for c in range(n):
                        dw = coefficients[z, t, c] * dgy[o, i, c]
                        dgx[f, i, c] += dw * v[c]
                        dg[c] += dw * x[f, j, c]
            if b >= 0:
                for c in range(n):
                    dgx[a, i, c] += dg[c] * x[b, j, c]
                for c in range(n):
                    dgx[b, i, c] += dg[c] * x[a, j, c]
                if moved:
                    for c in range(n):
                        dgx[a, i, c] += g[c] * dx[b, i, c]
                    for c in range(n):
                        dgx[b, i, c] += g[c] * dx[a, i, c]
            elif a >= 0:
                for c in range(n):
                    dgx[a, i, c] += dg[c]


@compiled
def gather_tangent(
    low: int,
    high: int,
    start: Array,
    edge: Array,
    sender: Array,
    atom: Array,
    row: Array,
    moved: Array,
    radial: Array,
    slope: Array,
    h: Array,
    dh: Array,
    angular: Array,
    dangular: Array,
    ddistance: Array,
    path: Array,
    component: Array,
    first: Array,
    output: Array,
    ds: Array,
) -> None:
    """Add the derivative of the messages to `ds`.

    Edges of the cluster refer to edges of the crystal by `edge`, nodes to atoms by `atom`; ``moved[e]`` is the row of
    the edge's own change in `dangular` and `ddistance`, or -1.
    """
    n = ds.shape[2]
    t = np.empty(n, ds.dtype)
    dt = np.empty(n, ds.dtype)
    for i in range(low, high):
        for e in range(start[i], start[i + 1]):
            j, k0, m0 = sender[e], edge[e], moved[e]
            carried = j < dh.shape[1]
            if m0 < 0 and not carried:
                continue
            r, source = row[k0], atom[j]
            for g in range(path.shape[0]):
                k, a = path[g], component[g]
                dt[:] = 0.0
                if carried:
                    for c in range(n):
                        dt[c] += radial[r, k, c] * dh[a, j, c]
                if m0 >= 0:
                    dr = ddistance[m0]
                    for c in range(n):
                        t[c] = radial[r, k, c] * h[a, source, c]
                        dt[c] += dr * slope[r, k, c] * h[a, source, c]
                    for q in range(first[g], first[g + 1]):
                        m, dm, o = angular[k0, q], dangular[m0, q], output[q]
                        for c in range(n):
                            ds[o, i, c] += m * dt[c] + dm * t[c]
                else:
                    for q in range(first[g], first[g + 1]):
                        m, o = angular[k0, q], output[q]
                        for c in range(n):
                            ds[o, i, c] += m * dt[c]


@compiled
def gather_reverse_tangent(
    low: int,
    high: int,
    start: Array,
    edge: Array,
    sender: Array,
    atom: Array,
    row: Array,
    moved: Array,
    radial: Array,
    slope: Array,
    curvature: Array,
    h: Array,
    dh: Array,
    angular: Array,
    dangular: Array,
    ddistance: Array,
    path: Array,
    component: Array,
    first: Array,
    output: Array,
    gs: Array,
    dgs: Array,
    dgangular: Array,
    dgdistance: Array,
    dgh: Array,
) -> None:
    """Add the derivative of `gather_reverse`: to `dgh` and `dgdistance`; that by `angular` is put into `dgangular`."""
    n = dgs.shape[2]
    s, ds = np.empty(n, dgs.dtype), np.empty(n, dgs.dtype)
    t, dt = np.empty(n, dgs.dtype), np.empty(n, dgs.dtype)
    for i in range(low, high):
        receiver = atom[i]
        for e in range(start[i], start[i + 1]):
            j, k0, m0 = sender[e], edge[e], moved[e]
            r, source = row[k0], atom[j]
            carried = j < dh.shape[1]
            along = 0.0
            dr = ddistance[m0] if m0 >= 0 else 0.0
            for g in range(path.shape[0]):
                k, a = path[g], component[g]
                for c in range(n):
                    t[c] = radial[r, k, c] * h[a, source, c]
                    ds[c] = 0.0
                if m0 < 0 and not carried:
                    for q in range(first[g], first[g + 1]):
                        m, o = angular[k0, q], output[q]
                        d = 0.0
                        for c in range(n):
                            ds[c] += m * dgs[o, i, c]
                            d += dgs[o, i, c] * t[c]
                        dgangular[e, q] = d
                else:
                    for c in range(n):
                        s[c] = 0.0
                        dt[c] = dr * slope[r, k, c] * h[a, source, c]
                    if carried:
                        for c in range(n):
                            dt[c] += radial[r, k, c] * dh[a, j, c]
                    for q in range(first[g], first[g + 1]):
                        m, o = angular[k0, q], output[q]
                        dm = dangular[m0, q] if m0 >= 0 else 0.0
                        d = 0.0
                        for c in range(n):
                            s[c] += m * gs[o, receiver, c]
                            ds[c] += m * dgs[o, i, c] + dm * gs[o, receiver, c]
                            d += dgs[o, i, c] * t[c] + gs[o, receiver, c] * dt[c]
                        dgangular[e, q] = d
                    for c in range(n):
                        dgh[a, j, c] += dr * s[c] * slope[r, k, c]
                        along += dr * s[c] * h[a, source, c] * curvature[r, k, c]
                    if carried:
                        for c in range(n):
                            along += s[c] * dh[a, j, c] * slope[r, k, c]
                for c in range(n):
                    dgh[a, j, c] += ds[c] * radial[r, k, c]
                    along += ds[c] * h[a, source, c] * slope[r, k, c]
            dgdistance[e] += along
