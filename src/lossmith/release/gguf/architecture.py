"""What a GGUF file says of a model's shape: keys and numbers by family, and what no key of the format says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lossmith.errors import InputError

# By transformers' model_type: gguf's name for it, and whether its files interleave the halves of each head.
FAMILIES: Mapping[str, tuple[str, bool]] = {
    "llama": ("LLAMA", True),
    "qwen2": ("QWEN2", False),
    "qwen3": ("QWEN3", False),
}


@dataclass(frozen=True)
class Shape:
    """The sizes of a decoder, and how its positions turn."""

    family: str
    layers: int
    width: int
    inner: int
    heads: int
    key_heads: int
    head_width: int
    rows: int
    context: int
    epsilon: float
    rope: Mapping[str, Any]

    @property
    def interleaves(self) -> bool:
        """Whether queries and keys are stored with the halves of each head interleaved."""
        return FAMILIES[self.family][1]

    @property
    def architecture(self) -> Any:
        """Gguf's own member for the family."""
        from gguf import MODEL_ARCH

        return MODEL_ARCH[FAMILIES[self.family][0]]


def shape_of(config: Mapping[str, Any]) -> Shape:
    """The shape that a config.json tells.

    Raises InputError for a family that is not written here, and for a variant of one that the format has no key for.
    """
    family = str(config.get("model_type"))
    if family not in FAMILIES:
        raise InputError(
            f"models of the family '{family}' are not written as GGUF here",
            got=family,
            expected=", ".join(FAMILIES),
            fix="the merged folder can be converted by llama.cpp's own convert_hf_to_gguf.py",
        )
    rope = dict(config.get("rope_parameters") or {})
    for what, found in (
        ("attention over a sliding window", config.get("use_sliding_window")),
        ("positions that turn a part of each head", rope.get("partial_rotary_factor", 1.0) != 1.0),
        (f"positions of the kind {rope.get('rope_type')}", rope.get("rope_type", "default") not in _ROPES),
    ):
        if found:
            raise InputError(f"this {family} model has {what}, which is not written as GGUF here", got=what)
    heads = int(config["num_attention_heads"])
    return Shape(
        family=family,
        layers=int(config["num_hidden_layers"]),
        width=int(config["hidden_size"]),
        inner=int(config["intermediate_size"]),
        heads=heads,
        key_heads=int(config.get("num_key_value_heads") or heads),
        head_width=int(config.get("head_dim") or config["hidden_size"] // heads),
        rows=int(config["vocab_size"]),
        context=int(config["max_position_embeddings"]),
        epsilon=float(config["rms_norm_eps"]),
        rope=rope,
    )


_ROPES = ("default", "linear", "yarn", "llama3")


def write_shape(writer: Any, shape: Shape) -> None:
    """Add the keys of a shape to a file that is being made."""
    from gguf import RopeScalingType

    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.inner)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.key_heads)
    writer.add_key_length(shape.head_width)
    writer.add_value_length(shape.head_width)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(float(shape.rope.get("rope_theta", 10_000.0)))
    writer.add_vocab_size(shape.rows)
    kind = shape.rope.get("rope_type", "default")
    if kind in ("linear", "yarn"):
        writer.add_rope_scaling_type(RopeScalingType.LINEAR if kind == "linear" else RopeScalingType.YARN)
        writer.add_rope_scaling_factor(float(shape.rope["factor"]))
    if kind == "yarn" and "original_max_position_embeddings" in shape.rope:
        writer.add_rope_scaling_orig_ctx_len(int(shape.rope["original_max_position_embeddings"]))


def rope_factors(shape: Shape) -> np.ndarray | None:
    """By how much each frequency of Llama 3 is slowed down, (head_width / 2,) float32; None for other positions.

    Long waves by `factor`, short ones not at all, those between by a share of both, as its authors published them.
    """
    if shape.rope.get("rope_type") != "llama3":
        return None
    factor, low, high = (float(shape.rope[name]) for name in ("factor", "low_freq_factor", "high_freq_factor"))
    context = float(shape.rope["original_max_position_embeddings"])
    steps = np.arange(0, shape.head_width, 2, dtype=np.float64) / shape.head_width
    waves = 2 * math.pi * float(shape.rope["rope_theta"]) ** steps
    share = (context / waves - low) / (high - low)
    between = 1 / ((1 - share) / factor + share)
    slowed = np.where(waves < context / high, 1.0, np.where(waves > context / low, factor, between))
    return np.asarray(slowed, dtype=np.float32)
