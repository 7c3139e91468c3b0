"""One step of a model that FSDP2 has sharded over two processes, against the same step in one; run by torchrun.

Prints one line of JSON for each way of sharding: the largest relative difference of a gradient, what was seen of the
shards, and how often the head was gathered.
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

from lossmith.losses import Objective
from lossmith.models.hidden import output_layer, unwrap
from lossmith.tasks.token_forward import TokenForward
from tests.models.families import VOCABULARY, build, with_lora

TERMS = {
    "cross_entropy": 0.5,
    "focal": {"weight": 0.2, "span": "items"},
    "generalized_dice": 0.2,
    "sinkhorn": {"weight": 0.3, "span": "items"},
}
# Tied or not; LoRA on these modules; a shard group of its own for the output layer, or that of the whole model.
CASES: dict[str, tuple[bool, list[str], bool]] = {
    "untied": (False, [], False),
    "untied, head apart": (False, [], True),
    "tied": (True, [], False),
    "lora on the head": (False, ["lm_head", "q_proj"], True),
}
LENGTHS = (11, 4, 8, 6)


def batch_of(rows: slice) -> dict[str, Any]:
    ids = torch.arange(3, 3 + 4 * 12).reshape(4, 12)
    attention = (torch.arange(12)[None] < torch.tensor(LENGTHS)[:, None]).long()
    mask = attention[:, 1:].bool()
    mask[:, :2] = False
    items = torch.where((torch.arange(11) > 4)[None].expand(4, -1), 0, -1)
    ids, attention, mask, items = (each[rows] for each in (ids, attention, mask, items))
    return {
        "input_ids": ids,
        "attention_mask": attention,
        "mask": mask,
        "labels": ids[:, 1:][mask],
        "spans": {"items": items[mask]},
        "examples": torch.arange(len(ids))[:, None].expand_as(mask)[mask],
    }


def made(case: str):
    tied, targets, _ = CASES[case]
    model = build("gemma2", tied=tied)
    return with_lora(model, targets=targets) if targets else model


def gradients(model, rows: slice, *, processes: int) -> tuple[float, dict[str, Any]]:
    objective, whole = Objective(TERMS), batch_of(slice(None))
    counts = objective.counts(whole["labels"], whole["spans"], whole["examples"])
    forward = TokenForward(model, real_tokens=VOCABULARY, needs_embeddings=True)
    forward.scale = 2.0
    value = forward(model, batch_of(rows)).value(objective, counts=counts)
    # FSDP2 averages over the processes what each of them has added up.
    (value.total * processes).backward()
    # Read before the evaluation, which leaves the group of the whole model gathered.
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    with torch.no_grad():
        again = forward(model, batch_of(rows)).value(objective, counts=counts)
    assert torch.allclose(again.total, value.total.detach(), rtol=1e-6)
    return float(value.total.detach()), found


def sharded(case: str) -> Any:
    model = made(case)
    inner: Any = unwrap(model)
    for layer in inner.model.layers:
        fully_shard(layer)
    if CASES[case][2]:
        fully_shard(output_layer(model))
    fully_shard(model)
    assert isinstance(model, FSDPModule)
    assert all(isinstance(p, DTensor) for p in model.parameters())
    return model


def compare(case: str) -> dict[str, Any]:
    rank, processes = dist.get_rank(), dist.get_world_size()
    alone, true = gradients(made(case), slice(None), processes=1)
    model = sharded(case)
    share = max(p.to_local().numel() / p.numel() for p in model.parameters())
    gathers: list[tuple[int, ...]] = []
    own = DTensor.full_tensor

    def watched(tensor: DTensor, **keywords: Any) -> Any:
        gathers.append(tuple(tensor.shape))
        return own(tensor, **keywords)

    DTensor.full_tensor = watched  # type: ignore[method-assign]
    try:
        part, found = gradients(model, slice(2 * rank, 2 * rank + 2), processes=processes)
    finally:
        DTensor.full_tensor = own  # type: ignore[method-assign]
    total = torch.tensor(part)
    dist.all_reduce(total)
    assert found.keys() == true.keys()
    assert all(isinstance(gradient, DTensor) for gradient in found.values())
    return {
        "case": case,
        "processes": processes,
        "value": abs(float(total) - alone) / abs(alone),
        "gradient": max(float((found[n].full_tensor() - g).norm() / g.norm()) for n, g in true.items()),
        "parameters": len(true),
        "largest share of a parameter": share,
        # The training call and the evaluation: twice is once a call.
        "gathers of the head": sum(shape == (VOCABULARY, 32) for shape in gathers),
    }


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    for case in CASES:
        line = compare(case)
        if dist.get_rank() == 0:
            sys.stdout.write(json.dumps(line) + "\n")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
