"""Polynomials of each atom's features, and their derivatives, as compiled loops.

Arrays are ``(component, atom, channel)``, so that every innermost loop runs over channels. Each call does the atoms
from `low` to `high`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .jit import compiled

Array = np.ndarray[Any, Any]


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
