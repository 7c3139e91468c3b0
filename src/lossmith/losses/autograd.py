"""The objective as one node of the autograd graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lossmith.errors import LossmithError
from lossmith.losses.engine import Engine
from lossmith.losses.formulas import Embeddings
from lossmith.losses.gradients import Gradients
from lossmith.losses.head import Head, engine_dtype, statistic_dtype
from lossmith.losses.reading import Plan


@dataclass(frozen=True)
class Call:
    """What one call of the engine works on besides the tensors that are differentiated."""

    head: Head
    plan: Plan
    coefficients: Tensor
    embeddings: Embeddings | None
    tile_bytes: int | None = None


def tiled(hidden: Tensor, call: Call) -> tuple[Tensor, Tensor, Mapping[str, Mapping[str, Tensor]]]:
    """Total, sums of the terms and their notes; the total carries gradient to hidden and the head."""
    notes: dict[str, dict[str, Tensor]] = {}
    # Products take the dtype of their operands; autocast must not choose another for the statistics.
    with torch.autocast(hidden.device.type, enabled=False):
        total, sums = _Tiled.apply(hidden, call.head.weight, call.head.bias, call, notes)
    return total, sums, notes


class _Tiled(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        call: Call,
        notes: dict[str, dict[str, Tensor]],
    ) -> tuple[Tensor, Tensor]:
        dtype = engine_dtype(hidden, weight)
        statistics = statistic_dtype(dtype)
        needed = ctx.needs_input_grad
        rows = hidden.detach().to(dtype)
        gradients = Gradients(
            hidden=torch.zeros_like(rows, dtype=statistics) if needed[0] else None,
            weight=torch.empty_like(weight, dtype=statistics) if needed[1] else None,
            bias=torch.zeros_like(bias, dtype=statistics) if bias is not None and needed[2] else None,
            blank=needed[1],
        )
        # In 16 bits gradients are made as multiples of the largest coefficient: 1 / tokens of a window underflows.
        largest = call.coefficients.amax()
        unit = torch.where(largest > 0, largest, 1.0) if dtype != statistics else torch.ones_like(largest)
        relative = call.coefficients / unit
        head = replace(call.head, weight=weight.detach(), bias=None if bias is None else bias.detach())
        engine = Engine(
            rows,
            head,
            call.plan,
            coefficients=relative,
            embeddings=call.embeddings,
            tile_bytes=call.tile_bytes,
        )
        engine.run(gradients)
        gradients.fill_blank()
        notes.update(engine.notes)
        ctx.gradients, ctx.unit, ctx.weight_given = gradients, unit, False
        ctx.dtypes = (hidden.dtype, weight.dtype, None if bias is None else bias.dtype)
        ctx.mark_non_differentiable(engine.sums)
        return (call.coefficients * engine.sums).sum(), engine.sums

    @staticmethod
    def backward(ctx: Any, by_total: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise LossmithError(
                "the objective cannot be differentiated twice: its gradient is made in the forward pass",
                got="backward with create_graph=True",
                expected="one backward without create_graph",
                fix="use Objective.dense, which keeps the whole graph",
            )
        gradients: Gradients = ctx.gradients
        factor = by_total * ctx.unit
        hidden, weight, bias = gradients.hidden, gradients.weight, gradients.bias
        if ctx.weight_given:
            raise LossmithError(
                "the gradient of the head was already given away",
                got="a second backward through the same value, with a trained head",
                expected="one backward for each call",
                fix="call the objective again",
            )
        if weight is not None:
            # In place, and no longer held here: a copy would cost the memory of the head once more.
            gradients.weight, ctx.weight_given = None, True
            weight = _multiplied(weight, factor).to(ctx.dtypes[1])
        if hidden is not None:
            # In the wider dtype: multiplied in 16 bits the factor itself would be rounded.
            hidden = (hidden.to(factor.dtype) * factor).to(ctx.dtypes[0])
        if bias is not None:
            bias = (bias * factor).to(ctx.dtypes[2])
        return hidden, weight, bias, None, None


def _multiplied(weight: Tensor, factor: Tensor) -> Tensor:
    """The gradient of the head times a number, in place; a walk over the whole head is spared where it is 1."""
    known = factor.device.type == "cpu"  # elsewhere looking would wait for the device
    return weight if known and float(factor) == 1.0 else weight.mul_(factor)
