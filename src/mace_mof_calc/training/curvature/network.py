"""The energy of a ScaleShiftMACE, arranged so that it is cheap to differentiate several times.

`FastMACE` holds no parameters of its own: it evaluates a stock ``mace.modules.ScaleShiftMACE`` and gives the same
energies. What differs is the order of the work:

* a network sees each pair of atoms through the spherical harmonics and the radial basis of its distance vector, in
  which there is nothing to learn. They and their derivatives by the vector are computed once for each configuration,
  and automatic differentiation begins behind them;
* atoms are sorted by element and each element's neighbour lists are padded to one length, so that the sum over
  neighbours of (radial x feature) x spherical harmonics is a batched matrix product, and Clebsch-Gordan products act on
  atoms, not on pairs;
* the symmetric contraction up to three factors is one matrix product of the pairs of factors with the weighted
  coupling coefficients of the elements that occur.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray
from torch import Tensor

from ...errors import TrainingError
from ...models.hyperparameters import Hyperparameters
from .graph import Graph, Neighbours, find_neighbours

_PLAIN, _RESIDUAL = "RealAgnosticInteractionBlock", "RealAgnosticResidualInteractionBlock"
_LARGEST_CORRELATION = 3


def check_network(model: Hyperparameters) -> None:
    """Refuse a network that `FastMACE` does not evaluate.

    Raises
    ------
    TrainingError
        The message has what does not fit.
    """
    blocks = {model.interaction_cls_first, model.interaction_cls} - {_PLAIN, _RESIDUAL}
    misfits = [f"interaction blocks {name}" for name in sorted(blocks)]
    if max(model.correlation) > _LARGEST_CORRELATION:
        misfits.append(f"correlation {max(model.correlation)}, more than {_LARGEST_CORRELATION}")
    if len(model.heads) > 1:
        misfits.append(f"{len(model.heads)} heads")
    if misfits:
        raise TrainingError(
            "This network cannot be trained with Hessians",
            f"It has {' and '.join(misfits)}",
            f"Give one with one head and the blocks {_PLAIN} or {_RESIDUAL}",
        )


@dataclass(frozen=True)
class Evaluation:
    """Energies of cells and their derivatives, in the graph's order.

    Attributes
    ----------
    energy : Tensor, shape=(ncell,)
        Without the atoms' own energies, eV.
    gradient : Tensor, shape=(natom, 3)
        eV/A.
    stress : Tensor, shape=(ncell, 3, 3)
        eV/A^3.
    leaf, by_edges : Tensor, shape=(npair, nedge)
        Edges, and the derivative of the energy by them.
    """

    energy: Tensor
    gradient: Tensor
    stress: Tensor
    leaf: Tensor
    by_edges: Tensor


class FastMACE:
    """Energies of a stock ScaleShiftMACE that `check_network` accepts.

    Parameters
    ----------
    model : mace.modules.ScaleShiftMACE
        Its parameters are used in place.
    """

    def __init__(self, model: Any) -> None:
        from e3nn import o3

        self.model = model
        self.numbers = [int(z) for z in model.atomic_numbers]
        self.r_max = float(model.r_max)
        like = next(model.parameters())
        self.device, self.dtype = like.device, like.dtype
        # What acts on geometry has no parameters; it stays in double precision.
        self.harmonics = copy.deepcopy(model.spherical_harmonics).cpu().double()
        self.radial = copy.deepcopy(model.radial_embedding).cpu().double()
        repulsion = getattr(model, "pair_repulsion_fn", None)
        self.repulsion = None if repulsion is None else copy.deepcopy(repulsion).cpu().double()
        self.scale = float(model.scale_shift.scale)
        self.slices = list(o3.Irreps(str(model.spherical_harmonics.irreps_out)).slices())
        self.couplings = []
        for interaction in model.interactions:
            tp = interaction.conv_tp
            paths, offset = [], 0
            for ins in tp.instructions:
                mul, ir1 = tp.irreps_in1[ins.i_in1]
                ir2, ir3 = tp.irreps_in2[ins.i_in2].ir, tp.irreps_out[ins.i_out].ir
                w3j = o3.wigner_3j(ir1.l, ir2.l, ir3.l, dtype=torch.float64) * ins.path_weight
                paths.append((ins.i_in1, ins.i_in2, ins.i_out, offset, mul, ir1.dim, w3j.to(like)))
                offset += mul
            self.couplings.append(paths)
        self.residual = [type(each).__name__ == _RESIDUAL for each in model.interactions]
        size = self.slices[-1].stop + 1
        self.pairs = torch.tril_indices(size, size, device=self.device)
        self.bases = [
            [_pair_basis(c, self.pairs).to(like) for c in p.symmetric_contractions.contractions] for p in model.products
        ]

    def neighbours(self, atoms: Atoms) -> Neighbours:
        """Find the neighbours of a cell's atoms."""
        return find_neighbours(atoms, self.numbers, self.r_max)

    def graph(self, found: Neighbours, curvature: bool = False, widths: NDArray[np.int64] | None = None) -> Graph:
        """Build the graph of a cell.

        Parameters
        ----------
        found : Neighbours
            Of the cell's atoms.
        curvature : bool
            With second derivatives, which :meth:`product` needs.
        widths : ndarray, optional
            Neighbours per atom of each element; default as many as there are.
        """
        numbers = torch.tensor(self.numbers)
        widths = found.widths() if widths is None else widths
        own = np.maximum(1, widths[found.elements])
        degree = np.bincount(found.centre, minlength=len(own))
        centre = np.repeat(np.arange(len(own)), own)
        source, array = centre.copy(), np.tile([3.0 * self.r_max, 0.0, 0.0], (len(centre), 1))
        place = np.repeat(np.cumsum(own) - own, degree) + np.concatenate([np.arange(n) for n in degree])
        source[place], array[place] = found.source, found.vectors
        onehot = torch.nn.functional.one_hot(torch.as_tensor(found.elements), len(self.numbers)).double()
        index = torch.as_tensor(np.stack([source, centre]))
        vectors = torch.as_tensor(array).requires_grad_(True)
        lengths = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        edges = torch.cat([self.harmonics(vectors), self.radial(lengths, onehot, index, numbers)[0]], dim=1)
        repulsion = torch.zeros(1, dtype=torch.float64) * vectors.sum()
        if self.repulsion is not None:
            # mace scales it like the energies of the network.
            repulsion = self.scale * self.repulsion(lengths, onehot, index, numbers).sum().reshape(1)
        slopes, bends = _pair_derivatives(edges, vectors, curvature)
        repulsion_slopes, repulsion_bends = _pair_derivatives(repulsion[None], vectors, curvature)
        graph = Graph(
            groups=tuple(
                (int(e), int(np.sum(found.elements == e)), max(1, int(widths[e]))) for e in np.unique(found.elements)
            ),
            order=torch.as_tensor(found.order),
            structure=torch.zeros(len(onehot), dtype=torch.long),
            onehot=onehot.to(self.dtype),
            source=index[0],
            centre=index[1],
            vectors=vectors.detach().to(self.dtype),
            edges=edges.detach().to(self.dtype),
            slopes=slopes.to(self.dtype),
            repulsion=repulsion.detach().to(self.dtype),
            repulsion_slopes=repulsion_slopes[:, 0].to(self.dtype),
            volume=torch.tensor([found.volume], dtype=self.dtype),
            bends=None if bends is None else bends.to(self.dtype),
            repulsion_bends=None if repulsion_bends is None else repulsion_bends[:, 0].to(self.dtype),
        )
        return graph.to(self.device)

    def evaluate(self, graph: Graph, train: bool = False) -> Evaluation:
        """Energies, gradient and stresses; with `train`, they can be differentiated."""
        leaf = graph.edges.detach().requires_grad_(True)
        energies = self._energies(graph, leaf)
        by_edges = torch.autograd.grad(energies.sum(), leaf, create_graph=train)[0]
        pairs = torch.einsum("pe,pec->pc", by_edges, graph.slopes) + graph.repulsion_slopes
        virial = pairs.new_zeros((len(graph.volume), 3, 3)).index_add(
            0, graph.structure.index_select(0, graph.centre), pairs[:, :, None] * graph.vectors[:, None, :]
        )
        return Evaluation(
            energy=graph.total(energies) + graph.repulsion,
            gradient=graph.gather(pairs),
            stress=0.5 * (virial + virial.mT) / graph.volume[:, None, None],
            leaf=leaf,
            by_edges=by_edges,
        )

    def product(self, graph: Graph, found: Evaluation, direction: Tensor) -> Tensor:
        """Product of the Hessian with a direction, eV/A.

        Parameters
        ----------
        graph : Graph
            Built with `curvature`.
        found : Evaluation
            Of that graph, made with `train`.
        direction : Tensor, shape=(natom, 3)
            Angstrom.
        """
        assert graph.bends is not None
        assert graph.repulsion_bends is not None
        u = direction.index_select(0, graph.source) - direction.index_select(0, graph.centre)
        along = (found.by_edges * torch.einsum("pec,pc->pe", graph.slopes, u)).sum()
        change = torch.autograd.grad(along, found.leaf, create_graph=True)[0]
        pairs = torch.einsum("pe,pec->pc", change, graph.slopes)
        pairs = pairs + torch.einsum("pe,pec->pc", found.by_edges, torch.einsum("pecd,pd->pec", graph.bends, u))
        return graph.gather(pairs + torch.einsum("pcd,pd->pc", graph.repulsion_bends, u))

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
        widths = [n * width for _, n, width in graph.groups]
        weights = radial.split([p[4] for p in paths], dim=1)
        out: dict[int, Tensor] = {}
        for i2 in sorted({p[1] for p in paths}):
            chosen = [k for k, p in enumerate(paths) if p[1] == i2]
            parts = [(weights[k][:, :, None] * gathered[paths[k][0]]).flatten(1) for k in chosen]
            both = torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
            pieces = []
            for (_, n, width), b, y in zip(graph.groups, both.split(widths), harmonics[i2].split(widths), strict=True):
                pieces.append(torch.bmm(b.view(n, width, -1).transpose(1, 2), y.reshape(n, width, -1)))
            summed = torch.cat(pieces)  # (natom, sum of mul * dim, 2 l2 + 1)
            for k, part in zip(chosen, summed.split([p.shape[1] for p in parts], dim=1), strict=True):
                _, _, i_out, _, _, dim, w3j = paths[k]
                part = part.reshape(-1, dim * part.shape[-1])
                out[i_out] = (part @ w3j.reshape(-1, w3j.shape[-1])).reshape(len(feats), -1)
        return torch.cat([out[k] for k in sorted(out)], dim=1)

    def _contract(self, layer: int, graph: Graph, x: Tensor) -> Tensor:
        """Symmetric contraction of ``(natom, channel, harmonic)`` features, with the atoms innermost for speed."""
        contractions = self.model.products[layer].symmetric_contractions.contractions
        x = x.permute(2, 1, 0).contiguous()
        y = torch.cat([torch.ones_like(x[:1]), x])
        products = y.index_select(0, self.pairs[0]) * y.index_select(0, self.pairs[1])
        counts = [g[1] for g in graph.groups]
        results = []
        for (element, n, _), p, xe in zip(graph.groups, products.split(counts, 2), x.split(counts, 2), strict=True):
            rows = []
            for contraction, basis in zip(contractions, self.bases[layer], strict=True):
                weights = torch.cat([contraction.weights_max[element], *[w[element] for w in contraction.weights]])
                table = (weights.T @ basis).view(len(xe[0]), -1, len(self.pairs[0]))
                q = torch.bmm(table, p.transpose(0, 1)).view(len(xe[0]), -1, len(xe), n)
                rows.append((q * xe.transpose(0, 1)[:, None]).sum(2).flatten(0, 1))
            results.append(torch.cat(rows))
        return torch.cat(results, dim=1).T

    def _energies(self, graph: Graph, edges: Tensor) -> Tensor:
        """Energies of the atoms (eV) by the network, as functions of harmonics and radial basis."""
        m = self.model
        harmonics, radial = edges.split([self.slices[-1].stop, edges.shape[1] - self.slices[-1].stop], dim=1)
        shells = harmonics.split([s.stop - s.start for s in self.slices], dim=1)
        feats = m.node_embedding(graph.onehot)
        total = feats.new_zeros(len(feats))
        for layer, (interaction, product) in enumerate(zip(m.interactions, m.products, strict=True)):
            up = interaction.linear_up(feats)
            message = self._message(layer, graph, up, shells, interaction.conv_tp_weights(radial))
            message = interaction.linear(message) / interaction.avg_num_neighbors
            if self.residual[layer]:
                kept = interaction.skip_tp(feats, graph.onehot)
            else:
                message, kept = interaction.skip_tp(message, graph.onehot), 0.0
            feats = product.linear(self._contract(layer, graph, interaction.reshape(message))) + kept
            total = total + m.readouts[layer](feats, None)[:, 0]
        energies: Tensor = m.scale_shift(total, torch.zeros_like(graph.structure))
        return energies


def _pair_derivatives(values: Tensor, vectors: Tensor, second: bool) -> tuple[Tensor, Tensor | None]:
    """First and second derivatives of functions that see one pair each.

    Parameters
    ----------
    values : Tensor, shape=(npair, n)
        The functions, or their sums over the pairs, shape ``(1, n)``.
    vectors : Tensor, shape=(npair, 3)
        Their arguments.
    second : bool
        Whether the second derivatives are wanted.

    Returns
    -------
    Tensor, shape=(npair, n, 3)
    Tensor, shape=(npair, n, 3, 3), or None
    """
    slopes, bends = [], []
    for column in values.unbind(1):
        slope = torch.autograd.grad(column.sum(), vectors, create_graph=second, retain_graph=True)[0]
        slopes.append(slope.detach())
        if second:
            # The first harmonic is constant.
            rows = [
                torch.autograd.grad(c.sum(), vectors, retain_graph=True)[0]
                if c.requires_grad
                else torch.zeros_like(slope)
                for c in slope.unbind(1)
            ]
            bends.append(torch.stack(rows, dim=1))
    return torch.stack(slopes, dim=1), torch.stack(bends, dim=1) if second else None


def _pair_basis(contraction: Any, pairs: Tensor) -> Tensor:
    """Coupling coefficients over unordered pairs of ``(1, x)``.

    Returns
    -------
    Tensor, shape=(nparameter, dim * nharmonic * npair)
        Parameters of the highest order and down to 1, in turn.
    """
    blocks = []
    for order in range(contraction.correlation, 0, -1):
        u = contraction.U_tensors(order)
        if u.dim() == order + 1:
            u = u[None]
        dim, size, count = u.shape[0], u.shape[1], u.shape[-1]
        full = u.new_zeros((size + 1, size + 1, dim, size, count))
        moved = u.movedim(0, -3)  # factors..., dim, last factor, parameter
        if order == 3:
            full[1:, 1:] = moved
        elif order == 2:
            full[0, 1:] = moved
        else:
            full[0, 0] = moved
        full = full + full.transpose(0, 1)
        i, j = pairs
        unordered = full[i, j] * torch.where(i == j, 0.5, 1.0).to(full)[:, None, None, None]
        blocks.append(unordered.permute(3, 1, 2, 0).reshape(count, -1))
    return torch.cat(blocks)
