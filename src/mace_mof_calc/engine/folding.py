"""A MACE model folded into tables for the elements that are present.

Nothing is approximated: maps that follow each other without anything between them are multiplied together, the one-hot
vector of the element becomes an index, and the symmetric contraction becomes the polynomial that it is, with each
distinct monomial once.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import MaceMofError, ModelFileError
from ..models.architecture import ARCHITECTURE, extract_hyperparameters
from .harmonics import tabulate_harmonics
from .tables import Block, FoldedModel, Message, Mixing, Polynomial, Readout

Array = np.ndarray[Any, Any]

_REMEDY = "Use accelerate=False"
_ZERO = 1e-14
_INTERACTIONS = ("RealAgnosticInteractionBlock", "RealAgnosticResidualInteractionBlock")
_HIGHEST_CORRELATION = 3


class UnfoldableError(MaceMofError):
    """The model has a part that the engine does not know."""


def fold(module: Any, numbers: Sequence[int], head: int = 0) -> FoldedModel:
    """Fold a ``ScaleShiftMACE``.

    Parameters
    ----------
    module : torch.nn.Module
        The model, in float64 on the CPU; not changed.
    numbers : sequence of int
        Atomic numbers of the elements that are present.
    head : int, optional
        Which head to keep.

    Raises
    ------
    UnfoldableError
        The model has a part that is unknown here.
    """
    _check(module)
    all_numbers = tuple(int(z) for z in module.atomic_numbers)
    numbers = tuple(sorted({int(z) for z in numbers}))
    present = [all_numbers.index(z) for z in numbers]
    onehot = torch.eye(len(all_numbers), dtype=torch.float64)[present]
    embedding = module.node_embedding(onehot).detach()
    blocks = []
    for layer, (interaction, product, readout) in enumerate(
        zip(module.interactions, module.products, module.readouts, strict=True)
    ):
        heads = len(module.atomic_energies_fn.atomic_energies.reshape(-1, len(all_numbers)))
        blocks.append(_fold_block(layer, interaction, product, readout, onehot, embedding, present, head, heads))
    isolated = module.atomic_energies_fn.atomic_energies.reshape(-1, len(all_numbers))[head].detach()[present]
    shift = float(module.scale_shift.shift.reshape(-1)[head])
    return FoldedModel(
        numbers=numbers,
        r_max=float(module.r_max),
        channels=embedding.shape[1],
        harmonics=tabulate_harmonics(max(ir.l for _, ir in _irreps(module.spherical_harmonics.irreps_out))),
        embedding=embedding,
        blocks=tuple(blocks),
        energies=isolated + shift,
        scale=float(module.scale_shift.scale.reshape(-1)[head]),
        activation=_activation_constant(module),
        radial_embedding=copy.deepcopy(module.radial_embedding),
        pair_repulsion=copy.deepcopy(getattr(module, "pair_repulsion_fn", None)),
        all_numbers=all_numbers,
    )


def _check(module: Any) -> None:
    try:
        extract_hyperparameters(module, module.state_dict())
    except ModelFileError as error:
        raise UnfoldableError(error.what, error.why, _REMEDY) from error
    except (AttributeError, KeyError, TypeError) as error:  # what another architecture lacks
        raise UnfoldableError(
            f"The model is not built as a {ARCHITECTURE} is", f"{type(error).__name__}: {error}", _REMEDY
        ) from error
    for interaction, product in zip(module.interactions, module.products, strict=True):
        name = type(interaction).__name__
        if name not in _INTERACTIONS:
            raise UnfoldableError(f"The model has a {name}", "The engine does not know it", _REMEDY)
        for contraction in product.symmetric_contractions.contractions:
            if contraction.correlation > _HIGHEST_CORRELATION:
                raise UnfoldableError(
                    f"The model has correlation {contraction.correlation}",
                    "The engine knows products of up to three messages",
                    _REMEDY,
                )
    if len(module.readouts) != len(module.interactions):
        raise UnfoldableError("The model does not read energies out after each layer", "The engine does", _REMEDY)


def _fold_block(
    layer: int,
    interaction: Any,
    product: Any,
    readout: Any,
    onehot: Tensor,
    embedding: Tensor,
    present: list[int],
    head: int,
    heads: int,
) -> Block:
    convolution = interaction.conv_tp
    nodes, edges = _irreps(interaction.node_feats_irreps), _irreps(convolution.irreps_in1)
    middle, messages = _irreps(convolution.irreps_out), _irreps(interaction.irreps_out)
    hidden = _irreps(product.linear.irreps_out)
    message, offsets = _fold_message(convolution, edges)
    mix = [
        Mixing(_at(offsets[i], middle[i].ir.dim), target, matrix / float(interaction.avg_num_neighbors))
        for i, target, matrix in _blocks(interaction.linear, middle, messages)
    ]
    skip: list[Mixing] = []
    constant = None
    elements = range(len(present))
    if type(interaction).__name__ == "RealAgnosticResidualInteractionBlock":
        each = [
            list(_blocks(interaction.skip_tp, nodes, _irreps(interaction.hidden_irreps), onehot[k : k + 1]))
            for k in elements
        ]
        if layer == 0:
            constant = torch.stack([embedding[k] @ each[k][0][2] for k in elements])
        else:
            starts = _starts(nodes)
            skip = [
                Mixing(_at(starts[i], nodes[i].ir.dim), target, torch.stack([each[k][n][2] for k in elements]))
                for n, (i, target, _) in enumerate(each[0])
            ]
    else:
        # The element's own map of the message follows the mixing at once.
        each = [list(_blocks(interaction.skip_tp, messages, messages, onehot[k : k + 1])) for k in elements]
        own = {target.start: torch.stack([each[k][n][2] for k in elements]) for n, (_, target, _) in enumerate(each[0])}
        mix = [Mixing(m.source, m.target, m.matrix @ own[m.target.start]) for m in mix]
    starts = _starts(nodes)
    return Block(
        up=tuple(
            Mixing(_at(starts[i], nodes[i].ir.dim), target, matrix)
            for i, target, matrix in _blocks(interaction.linear_up, nodes, edges)
        ),
        message=message,
        mix=tuple(mix),
        polynomial=_fold_contraction(product.symmetric_contractions, present),
        out=tuple(
            Mixing(_at(_starts(hidden)[i], hidden[i].ir.dim), target, matrix)
            for i, target, matrix in _blocks(product.linear, hidden, hidden)
        ),
        skip=tuple(skip),
        constant=constant,
        radial=_radial_matrices(interaction.conv_tp_weights),
        readout=_fold_readout(readout, hidden, head, heads),
    )


def _irreps(text: Any) -> Any:
    from e3nn import o3

    return o3.Irreps(str(text))


def _starts(irreps: Any) -> list[int]:
    """Return where each irrep starts among the components (those of m), channels counted once."""
    return [int(s) for s in np.cumsum([0, *(ir.dim for _, ir in irreps)])]


def _at(start: int, length: int) -> slice:
    return slice(start, start + length)


def _rows(module: Any, dimension: int, rows: Tensor, *arguments: Tensor) -> Tensor:
    """Return rows of the matrix of a linear module by applying it to unit vectors."""
    unit = torch.zeros((len(rows), dimension), dtype=torch.float64)
    unit[torch.arange(len(rows)), rows] = 1.0
    matrix: Tensor = module(unit, *(a.expand(len(rows), *a.shape[1:]) for a in arguments)).detach()
    return matrix


def _blocks(module: Any, inputs: Any, outputs: Any, *arguments: Tensor) -> list[tuple[int, slice, Tensor]]:
    """Return the channel matrices of an equivariant linear module: input irrep, output components, matrix."""
    starts, found = _starts(outputs), []
    for i, (_, ir_in) in enumerate(inputs):
        if all(ir_in != ir for _, ir in outputs):
            continue
        # Entries of m = m' = 0; those of other m are the same, and the rest vanishes.
        place = inputs.slices()[i]
        rows = _rows(module, inputs.dim, torch.arange(place.start, place.stop, ir_in.dim), *arguments)
        for o, (_, ir_out) in enumerate(outputs):
            if ir_in == ir_out:
                part = rows[:, outputs.slices()[o]][:, :: ir_out.dim]
                found.append((i, _at(starts[o], ir_out.dim), part.contiguous()))
    return found


def _fold_message(convolution: Any, edges: Any) -> tuple[Message, dict[int, int]]:
    """Return the message's table, and where each irrep of the tensor product starts among the components of S."""
    from e3nn import o3

    harmonics = _irreps(convolution.irreps_in2)
    inputs, angles = _starts(edges), _starts(harmonics)
    offsets, total = {}, 0
    for i, (_, ir) in enumerate(_irreps(convolution.irreps_out)):
        offsets[i], total = total, total + ir.dim
    entries = []
    for path, instruction in enumerate(convolution.instructions):
        ir_in, ir_edge = edges[instruction.i_in1].ir, harmonics[instruction.i_in2].ir
        ir_out = _irreps(convolution.irreps_out)[instruction.i_out].ir
        coupling = o3.wigner_3j(ir_in.l, ir_edge.l, ir_out.l, dtype=torch.float64) * instruction.path_weight
        for a in range(ir_in.dim):
            for b in range(ir_out.dim):
                if coupling[a, :, b].abs().max() > _ZERO:
                    column = torch.zeros(harmonics.dim, dtype=torch.float64)
                    column[_at(angles[instruction.i_in2], ir_edge.dim)] = coupling[a, :, b]
                    entries.append((path, inputs[instruction.i_in1] + a, offsets[instruction.i_out] + b, column))
    entries.sort(key=lambda entry: entry[:3])
    groups = [entry[:2] for k, entry in enumerate(entries) if k == 0 or entries[k - 1][:2] != entry[:2]]
    first = [next(k for k, entry in enumerate(entries) if entry[:2] == group) for group in groups]
    message = Message(
        angular=torch.stack([entry[3] for entry in entries], dim=1),
        group_path=torch.tensor([path for path, _ in groups]),
        group_input=torch.tensor([component for _, component in groups]),
        first=torch.tensor([*first, len(entries)]),
        output=torch.tensor([entry[2] for entry in entries]),
        paths=len(convolution.instructions),
        outputs=total,
    )
    return message, offsets


def _fold_contraction(contractions: Any, present: list[int]) -> Polynomial:
    terms: dict[tuple[int, tuple[int, ...]], Array] = {}
    outputs = 0
    for contraction in contractions.contractions:
        for order in range(contraction.correlation, 0, -1):
            coupling = contraction.U_tensors(order).detach().double().numpy()
            if coupling.ndim == order + 1:
                coupling = coupling[None]
            weights = (
                contraction.weights_max
                if order == contraction.correlation
                else contraction.weights[contraction.correlation - 1 - order]
            )
            if weights.numel() == 0:
                continue
            own = weights.detach().double().numpy()[present]
            for index in np.argwhere(np.abs(coupling).max(axis=-1) > _ZERO):
                key = (outputs + int(index[0]), tuple(sorted(int(k) for k in index[1:])))
                terms[key] = terms.get(key, 0.0) + np.einsum("k,zkc->zc", coupling[tuple(index)], own)
        outputs += coupling.shape[0]
    rows = sorted((_padded(factors[:-1]), output, factors[-1]) for output, factors in terms)
    pairs = sorted({pair for pair, _, _ in rows})
    return Polynomial(
        pairs=torch.tensor(pairs),
        first=torch.as_tensor(np.searchsorted([pairs.index(pair) for pair, _, _ in rows], np.arange(len(pairs) + 1))),
        output=torch.tensor([output for _, output, _ in rows]),
        last=torch.tensor([last for _, _, last in rows]),
        coefficients=torch.as_tensor(
            np.stack([terms[output, (*(k for k in pair if k >= 0), last)] for pair, output, last in rows], axis=1)
        ),
        components=coupling.shape[1],
        outputs=outputs,
    )


def _padded(factors: tuple[int, ...]) -> tuple[int, int]:
    first, second = (*factors, -1, -1)[:2]
    return first, second


def _fold_readout(readout: Any, hidden: Any, head: int, heads: int) -> Readout:
    channels = hidden[0].mul
    name = type(readout).__name__
    if name == "LinearReadoutBlock":
        dense = _rows(readout.linear, hidden.dim, torch.arange(channels))
        return Readout(None, dense[:, head if dense.shape[1] > 1 else 0].contiguous())
    if name == "NonLinearReadoutBlock":
        inner = _rows(readout.linear_1, hidden.dim, torch.arange(channels))
        width = inner.shape[1] // heads
        own = slice(head * width, (head + 1) * width)
        outer = _rows(readout.linear_2, inner.shape[1], torch.arange(inner.shape[1]))
        constant = float(readout.non_linearity.acts[0].cst)
        return Readout(inner[:, own].contiguous(), constant * outer[own, head if outer.shape[1] > 1 else 0])
    raise UnfoldableError(f"The model has a {name}", "The engine does not know it", _REMEDY)


def _radial_matrices(network: Any) -> tuple[Tensor, ...]:
    """Return the matrices of e3nn's radial network with its normalisations in them."""
    names = [name for name in dir(network) if re.fullmatch(r"layer\d+", name)]
    layers = [getattr(network, name) for name in sorted(names, key=lambda name: int(name.removeprefix("layer")))]
    if not layers or not all(hasattr(layer, "h_in") for layer in layers):
        raise UnfoldableError(
            f"The model has a {type(network).__name__} of distances",
            "The engine does not know it",
            _REMEDY,
        )
    matrices = []
    for layer in layers:
        gain = layer.var_out**0.5
        matrices.append((layer.weight * gain / (layer.h_in * layer.var_in) ** 0.5).detach())
        if layer.act is not None and layer.var_out != 1:
            raise UnfoldableError("The radial network is normalised in an unknown way", "", _REMEDY)
    return tuple(matrices)


def _activation_constant(module: Any) -> float:
    return float(module.interactions[0].conv_tp_weights.layer0.act.cst)
