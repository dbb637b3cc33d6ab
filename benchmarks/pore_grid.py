"""Pore diameters on a grid: slow, and independent of Zeo++."""

import numba
import numpy as np
from scipy.spatial import cKDTree


def compute_on_grid(atoms, radius_of, pitch):
    """Return the pore limiting and the largest included diameter, within `pitch` times the square root of 3 each.

    The free radius of a point is its distance from the nearest surface of an atom, which changes by no more than one
    goes. Grid points are taken in the order of falling free radius and joined with neighbours taken before, until a
    point is joined with an image of itself.
    """
    cell = atoms.cell.array
    shape = np.ceil(atoms.cell.lengths() / pitch).astype(int)
    axes = [np.arange(n) / n for n in shape]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3) @ cell
    free = np.full(len(points), np.inf)
    images = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), -1).reshape(-1, 3) @ cell
    scaled = atoms.get_scaled_positions(wrap=True) @ cell
    radii = np.array([radius_of[symbol] for symbol in atoms.symbols])
    for radius in set(radii):
        centres = (scaled[radii == radius][:, None] + images[None]).reshape(-1, 3)
        free = np.minimum(free, cKDTree(centres).query(points)[0] - radius)
    order = np.argsort(-free)
    return 2.0 * free[_percolate(order, shape)], 2.0 * free.max()


@numba.njit(cache=True)
def _percolate(order, shape):
    """Return the point with which a way through appears."""
    parent = np.full(order.size, -1)
    shift = np.zeros((order.size, 3), np.int64)  # from the cell of a point to that of its parent
    na, nb, nc = shape
    for point in order:
        parent[point] = point
        a, b, c = point // (nb * nc), (point // nc) % nb, point % nc
        for i in range(-1, 2):
            for j in range(-1, 2):
                for k in range(-1, 2):
                    other = ((a + i) % na * nb + (b + j) % nb) * nc + (c + k) % nc
                    if parent[other] < 0 or other == point:
                        continue
                    step = np.array([(a + i) // na, (b + j) // nb, (c + k) // nc])
                    mine, here = _find(parent, shift, point)
                    theirs, there = _find(parent, shift, other)
                    gap = step + there - here
                    if mine != theirs:
                        parent[mine] = theirs
                        shift[mine] = gap
                    elif gap[0] != 0 or gap[1] != 0 or gap[2] != 0:
                        return point
    return order[-1]


@numba.njit(cache=True)
def _find(parent, shift, point):
    total = np.zeros(3, np.int64)
    root = point
    while parent[root] != root:
        total = total + shift[root]
        root = parent[root]
    rest = total.copy()
    while parent[point] != root and point != root:  # hang what was passed directly below the root
        above, own = parent[point], shift[point].copy()
        parent[point] = root
        shift[point] = rest
        rest = rest - own
        point = above
    return root, total
