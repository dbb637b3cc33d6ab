"""The energy of a ScaleShiftMACE, arranged so that it is cheap to differentiate several times on a CPU.

:class:`FastMACE` holds no parameters of its own: it evaluates a stock ``mace.modules.ScaleShiftMACE`` (two layers,
residual
interaction blocks, scalars and vectors between the layers) and gives the same energies.  What differs is the order of
the work:

* atoms are sorted by element and each element's neighbour lists are padded to one length, so that the sum over
neighbours of
  (radial x feature) x spherical harmonics is a batched matrix product, and Clebsch-Gordan products act on atoms, not on
  pairs;
* the symmetric contraction up to three factors is one matrix product of the pairs of factors with the weighted
  coupling coefficients of the elements that occur.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list
from e3nn import o3
from torch import Tensor


@dataclass
class Graph:
    """One or several cells, atoms sorted by element, neighbour lists padded within each element.

    Attributes
    ----------
    order : Tensor, shape=(natom,)
        Index of each atom in the concatenated input.
    positions : Tensor, shape=(natom, 3)
        Angstrom.
    onehot : Tensor, shape=(natom, nelement)
    batch : Tensor, shape=(natom,)
        To which cell each atom belongs.
    source : Tensor, shape=(npair,)
        Neighbour of each pair; the centres are the atoms in order, each repeated as often as its element's padding.
    centre : Tensor, shape=(npair,)
    shift : Tensor, shape=(npair, 3)
        Lattice translation of the neighbour in Angstrom; padding pairs sit beyond the cutoff.
    groups : list of (int, int, int, int, int)
        Element index, first atom, number of atoms, neighbours per atom, first pair.
    volume : Tensor, shape=(ncell,)
        Angstrom^3.
    counts : Tensor, shape=(ncell,)
        Number of atoms in each cell.
    """

    order: Tensor
    positions: Tensor
    onehot: Tensor
    batch: Tensor
    source: Tensor
    centre: Tensor
    shift: Tensor
    groups: list[tuple[int, int, int, int, int]]
    volume: Tensor
    counts: Tensor


def build_graph(cells: list[Atoms], numbers: list[int], r_max: float, dtype: torch.dtype | None = None) -> Graph:
    """Neighbour lists (cutoff `r_max` in Angstrom) of some cells as one :class:`Graph`."""
    dtype = dtype or torch.get_default_dtype()
    index = {z: k for k, z in enumerate(numbers)}
    elements = np.concatenate([[index[z] for z in a.numbers] for a in cells])
    batch = np.concatenate([np.full(len(a), k) for k, a in enumerate(cells)])
    positions = np.concatenate([a.positions for a in cells])
    offsets = np.cumsum([0] + [len(a) for a in cells])
    centre, source, shift = [], [], []
    for offset, atoms in zip(offsets, cells, strict=False):
        i, j, s = neighbor_list("ijS", atoms, r_max)
        centre.append(i + offset)
        source.append(j + offset)
        shift.append(s @ atoms.cell.array)
    order = np.argsort(elements, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    i, j, s = rank[np.concatenate(centre)], rank[np.concatenate(source)], np.concatenate(shift)
    by_centre = np.argsort(i, kind="stable")
    i, j, s = i[by_centre], j[by_centre], s[by_centre]
    degree = np.bincount(i, minlength=len(order))
    start = np.concatenate([[0], np.cumsum(degree)])
    sorted_elements = elements[order]
    groups, pad_source, pad_centre, pad_shift, pair = [], [], [], [], 0
    for element in np.unique(sorted_elements):
        members = np.flatnonzero(sorted_elements == element)
        width = max(1, int(degree[members].max()))
        groups.append((int(element), int(members[0]), len(members), width, pair))
        for atom in members:
            d = degree[atom]
            pad_source.append(np.concatenate([j[start[atom] : start[atom + 1]], np.full(width - d, atom)]))
            pad_shift.append(
                np.concatenate([s[start[atom] : start[atom + 1]], np.tile([3.0 * r_max, 0, 0], (width - d, 1))])
            )
            pad_centre.append(np.full(width, atom))
        pair += width * len(members)
    return Graph(
        order=torch.as_tensor(order),
        positions=torch.as_tensor(positions[order], dtype=dtype),
        onehot=torch.nn.functional.one_hot(torch.as_tensor(sorted_elements), len(numbers)).to(dtype),
        batch=torch.as_tensor(batch[order]),
        source=torch.as_tensor(np.concatenate(pad_source)),
        centre=torch.as_tensor(np.concatenate(pad_centre)),
        shift=torch.as_tensor(np.concatenate(pad_shift), dtype=dtype),
        groups=groups,
        volume=torch.as_tensor([a.get_volume() for a in cells], dtype=dtype),
        counts=torch.as_tensor([len(a) for a in cells]),
    )


class FastMACE:
    """Energies of a stock two-layer ScaleShiftMACE.

    Parameters
    ----------
    model : mace.modules.ScaleShiftMACE
        Its parameters are used in place.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model
        self.numbers = [int(z) for z in model.atomic_numbers]
        self.r_max = float(model.r_max)
        self.slices = list(o3.Irreps(str(model.spherical_harmonics.irreps_out)).slices())
        self.couplings = []
        for interaction in model.interactions:
            tp = interaction.conv_tp
            paths, offset = [], 0
            for ins in tp.instructions:
                mul, ir1 = tp.irreps_in1[ins.i_in1]
                ir2, ir3 = tp.irreps_in2[ins.i_in2].ir, tp.irreps_out[ins.i_out].ir
                w3j = o3.wigner_3j(ir1.l, ir2.l, ir3.l) * ins.path_weight
                paths.append((ins.i_in1, ins.i_in2, ins.i_out, offset, mul, ir1.dim, w3j))
                offset += mul
            self.couplings.append(paths)
        self.bases = [[_pair_basis(c) for c in p.symmetric_contractions.contractions] for p in model.products]

    def _message(
        self, layer: int, graph: Graph, feats: Tensor, harmonics: tuple[Tensor, ...], radial: Tensor
    ) -> Tensor:
        """Sum over neighbours; shape ``(natom, irreps_mid)``."""
        paths = self.couplings[layer]
        irreps = self.model.interactions[layer].conv_tp.irreps_in1
        blocks = [
            feats[:, s].reshape(len(feats), mi.mul, mi.ir.dim) for s, mi in zip(irreps.slices(), irreps, strict=True)
        ]
        gathered = [b.index_select(0, graph.source) for b in blocks]
        widths = [n * width for _, _, n, width, _ in graph.groups]
        weights = radial.split([p[4] for p in paths], dim=1)
        out: dict[int, Tensor] = {}
        for i2 in sorted({p[1] for p in paths}):
            chosen = [k for k, p in enumerate(paths) if p[1] == i2]
            parts = [(weights[k][:, :, None] * gathered[paths[k][0]]).flatten(1) for k in chosen]
            both = torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
            pieces = []
            for (_, _, n, width, _), b, y in zip(
                graph.groups, both.split(widths), harmonics[i2].split(widths), strict=True
            ):
                pieces.append(torch.bmm(b.view(n, width, -1).transpose(1, 2), y.reshape(n, width, -1)))
            summed = torch.cat(pieces)  # (natom, sum of mul * dim, 2 l2 + 1)
            for k, part in zip(chosen, summed.split([p.shape[1] for p in parts], dim=1), strict=True):
                _, _, i_out, _, _, dim, w3j = paths[k]
                part = part.reshape(-1, dim * part.shape[-1])
                out[i_out] = (part @ w3j.to(part).reshape(-1, w3j.shape[-1])).reshape(len(feats), -1)
        return torch.cat([out[k] for k in sorted(out)], dim=1)

    def _contract(self, layer: int, graph: Graph, x: Tensor) -> Tensor:
        """Symmetric contraction of ``(natom, channel, 16)`` features."""
        contractions = self.model.products[layer].symmetric_contractions.contractions
        x = x.transpose(0, 1)  # (channel, natom, lm)
        y = torch.cat([torch.ones_like(x[..., :1]), x], dim=-1)
        products = (y[..., :, None] * y[..., None, :]).flatten(2).split([g[2] for g in graph.groups], dim=1)
        results = []
        factors = x.split([g[2] for g in graph.groups], dim=1)
        for (element, _, n, _, _), p, xe in zip(graph.groups, products, factors, strict=True):
            row = []
            for contraction, basis in zip(contractions, self.bases[layer], strict=True):
                weights = torch.cat([contraction.weights_max[element], *[w[element] for w in contraction.weights]])
                dim = basis.shape[-1] // (289 * 16)
                table = (weights.T @ basis.to(weights)).view(len(x), 289, dim * 16)
                q = torch.bmm(p, table).view(len(x), n, dim, 16)
                row.append((q * xe[:, :, None, :]).sum(-1).transpose(0, 1).reshape(n, -1))
            results.append(torch.cat(row, dim=1))
        return torch.cat(results)

    def energy(self, graph: Graph, positions: Tensor, strain: Tensor | None = None) -> Tensor:
        """Energies of the cells of `graph`, in eV.

        Parameters
        ----------
        graph : Graph
            Neighbour lists.
        positions : Tensor, shape=(natom, 3)
            Positions in the graph's order, Angstrom.
        strain : Tensor, shape=(ncell, 3, 3), optional
            Symmetric strain of each cell.

        Returns
        -------
        Tensor, shape=(ncell,)
            Energy without the atoms' own energies.
        """
        m = self.model
        vectors = positions.index_select(0, graph.source) - positions.index_select(0, graph.centre) + graph.shift
        if strain is not None:
            vectors = vectors + torch.bmm(vectors[:, None], strain[graph.batch[graph.centre]])[:, 0]
        lengths = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        harmonics = m.spherical_harmonics(vectors).split([s.stop - s.start for s in self.slices], dim=1)
        edge_index = torch.stack([graph.source, graph.centre])
        radial, _ = m.radial_embedding(lengths, graph.onehot, edge_index, m.atomic_numbers)
        feats = m.node_embedding(graph.onehot)
        total = torch.zeros(len(feats), dtype=feats.dtype)
        for layer, (interaction, product) in enumerate(zip(m.interactions, m.products, strict=True)):
            sc = interaction.skip_tp(feats, graph.onehot)
            up = interaction.linear_up(feats)
            message = self._message(layer, graph, up, harmonics, interaction.conv_tp_weights(radial))
            message = interaction.reshape(interaction.linear(message) / interaction.avg_num_neighbors)
            feats = product.linear(self._contract(layer, graph, message)) + sc
            total = total + m.readouts[layer](feats, None)[:, 0]
        if hasattr(m, "pair_repulsion_fn"):
            total = total + m.pair_repulsion_fn(lengths, graph.onehot, edge_index, m.atomic_numbers)
        total = m.scale_shift(total, torch.zeros(len(feats), dtype=torch.long))
        return torch.zeros(len(graph.counts), dtype=total.dtype).index_add(0, graph.batch, total)


def _pair_basis(contraction: torch.nn.Module) -> Tensor:
    """Coupling coefficients over pairs of ``(1, x)``: ``(parameters of order 3, 2 and 1; 289 * dim * 16)``."""
    blocks = []
    for order in range(contraction.correlation, 0, -1):
        u = contraction.U_tensors(order)
        if u.dim() == order + 1:
            u = u[None]
        dim, count = u.shape[0], u.shape[-1]
        full = torch.zeros((17, 17, dim, 16, count), dtype=u.dtype)
        moved = u.movedim(0, -3)  # factors..., dim, last factor, parameter
        if order == 3:
            full[1:, 1:] = moved
        elif order == 2:
            full[0, 1:] = moved
        else:
            full[0, 0] = moved
        blocks.append(full.flatten(0, 1).permute(3, 0, 1, 2).reshape(count, -1))
    return torch.cat(blocks)
