"""The matrix that a module multiplies by, adapters and trained token rows included, as one tensor on the graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Matrix:
    """What a linear or embedding module amounts to.

    weight (rows, width) and bias (rows,) or None. `reason` says why the module is no plain matrix; then weight is
    that of its base alone and must not stand for it.
    """

    weight: Tensor
    bias: Tensor | None = None
    reason: str | None = None


def matrix_of(module: nn.Module) -> Matrix:
    """Resolve a module to the matrix it applies now: plain, quantised, or wrapped by peft (LoRA, whole copies, rows).

    Gradients of the result reach whatever of it trains.
    """
    from peft.tuners.lora import LoraLayer
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import ModulesToSaveWrapper, TrainableTokensWrapper

    if isinstance(module, ModulesToSaveWrapper):
        if module.disable_adapters or not module.active_adapters:
            return matrix_of(module.original_module)
        return matrix_of(module.modules_to_save[module.active_adapters[0]])
    if isinstance(module, TrainableTokensWrapper):
        return _with_trained_rows(module)
    if isinstance(module, LoraLayer):
        return _with_lora(module)
    if isinstance(module, BaseTunerLayer):
        base = matrix_of(module.get_base_layer())
        return Matrix(base.weight, base.bias, f"the adapter {type(module).__name__} on it cannot be written as one")
    return _plain(module)


def _with_trained_rows(wrapper: Any) -> Matrix:
    layer = wrapper.token_adapter
    if wrapper.disable_adapters or layer.merged or not wrapper.active_adapters:
        return matrix_of(layer.base_layer)
    # peft applies a wrapped output layer without its bias.
    bias = None if isinstance(layer.base_layer, nn.Linear) else matrix_of(layer.base_layer).bias
    return Matrix(layer.get_merged_weights(wrapper.active_adapters), bias)


def _with_lora(layer: Any) -> Matrix:
    base = matrix_of(layer.get_base_layer())
    if layer.disable_adapters or layer.merged:
        return base
    weight, bias, reason = base.weight, base.bias, base.reason
    for adapter in layer.active_adapters:
        if adapter not in layer.scaling:
            continue
        if adapter in getattr(layer, "lora_variant", {}) or layer.use_dora.get(adapter):
            reason = f"the LoRA variant on it ('{adapter}') cannot be written as one"
            continue
        dropout = layer.lora_dropout[adapter] if adapter in layer.lora_dropout else nn.Identity()
        if layer.training and getattr(dropout, "p", 0.0) > 0:
            reason = f"the LoRA on it drops inputs at random (lora_dropout {dropout.p:g}) while training"
        delta = _delta(layer, adapter)
        weight = weight.to(delta.dtype) + delta
        if adapter in getattr(layer, "lora_B", {}) and layer.lora_B[adapter].bias is not None:
            shift = gathered(layer.lora_B[adapter].bias) * layer.scaling[adapter]
            bias = shift if bias is None else bias + shift
    return Matrix(weight, bias, reason)


def _delta(layer: Any, adapter: str) -> Tensor:
    """What LoRA adds to the weight; of sharded matrices the two thin ones are gathered, not their product."""
    if adapter in layer.lora_A:
        down, up = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight
        turned = layer.fan_in_fan_out
    else:
        down, up = layer.lora_embedding_A[adapter], layer.lora_embedding_B[adapter]
        turned = True
    product = gathered(up) @ gathered(down)
    return (product.T if turned else product) * layer.scaling[adapter]


def _plain(module: nn.Module) -> Matrix:
    weight, bias = (gathered(getattr(module, name, None)) for name in ("weight", "bias"))
    if not isinstance(weight, Tensor):
        return Matrix(torch.empty(0), None, f"{type(module).__name__} holds no weight")
    if type(weight).__name__ in ("Params4bit", "Int8Params"):
        from peft.utils.integrations import dequantize_bnb_weight

        quantised: Any = weight
        return Matrix(dequantize_bnb_weight(quantised, state=getattr(module, "state", None)), bias)
    if type(weight) not in (Tensor, nn.Parameter):
        return Matrix(weight, bias, f"{type(module).__name__} holds its weight as {type(weight).__name__}")
    if weight.ndim != 2 or not weight.is_floating_point():
        return Matrix(
            weight, bias, f"{type(module).__name__} holds a {weight.dtype} weight of {weight.ndim} dimensions"
        )
    return Matrix(weight, bias)


def gathered(weight: Any) -> Any:
    """A weight sharded by FSDP2 as one plain tensor on every process; anything else as it is.

    Its gradient goes back to the shards as FSDP2's own do: averaged over the processes, each of which has seen other
    examples. A collective call: every process must come here.
    """
    if type(weight).__name__ != "DTensor":
        return weight
    from torch.distributed.tensor import Partial

    return weight.full_tensor(grad_placements=[Partial("avg")] * weight.device_mesh.ndim)
