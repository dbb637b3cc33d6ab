"""Sums over the neighbours of each atom, and their derivatives, as compiled loops.

Arrays are ``(component, atom, channel)``, so that every innermost loop runs over channels. Each call does the atoms
from `low` to `high` (receivers).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .jit import compiled

Array = np.ndarray[Any, Any]


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
