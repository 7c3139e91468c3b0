"""The weights of a merged model as a GGUF file holds them: names, order of rows, and number format of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lossmith.errors import InputError
from lossmith.release.gguf.architecture import Shape, rope_factors
from lossmith.release.stored_weights import stored_weights

ROPE_FACTORS = "rope_freqs.weight"
# Numbers of a block of q8_0, which share one scale.
BLOCK = 32
_LARGEST_F16 = 65504.0


@dataclass(frozen=True)
class Weight:
    """One tensor on its way into the file: its name there, its values in fp32, and the format they are written in."""

    name: str
    values: np.ndarray
    format: str

    def packed(self) -> np.ndarray:
        """The values in their format: float32, float16, or bytes of q8_0.

        Raises InputError where float16, in which q8_0 keeps its scales, cannot hold them.
        """
        from gguf import GGMLQuantizationType, quants

        largest = float(np.abs(self.values).max(initial=0.0))
        if self.format == "f32":
            return self.values
        if largest > _LARGEST_F16 * (127 if self.format == "q8_0" else 1):
            raise InputError(
                f"{self.name} holds numbers that {self.format} cannot", got=f"{largest:.3g}", expected="at most 65504"
            )
        if self.format == "f16":
            return self.values.astype(np.float16)
        packed: np.ndarray = quants.quantize(self.values, GGMLQuantizationType.Q8_0)
        return packed

    def error_allowed(self) -> np.ndarray:
        """By how much each value may come back otherwise, of the values' shape: half a step of the format.

        f16 has 11 binary digits, and steps of 2^-24 near 0. A block of q8_0 has steps of its largest value over 127, a
        scale that is itself rounded to f16, and 127 steps at most.
        """
        size = np.abs(self.values)
        if self.format == "f32":
            return np.zeros_like(size)
        if self.format == "f16":
            return size * 2.0**-11 + 2.0**-25
        blocks = size.reshape(-1, BLOCK)
        largest = blocks.max(axis=1, keepdims=True)
        allowed = largest / 127 * 0.5 + largest * 2.0**-11 + 127 * 2.0**-25
        return np.broadcast_to(allowed * (1 + 1e-6), blocks.shape).reshape(size.shape)


def weights_of(folder: Path, shape: Shape, *, matrices: str) -> Iterator[Weight]:
    """Every tensor of a folder, one at a time; matrices in the format asked for, vectors in f32.

    A matrix whose rows are no whole blocks of q8_0 is written as f16. Raises InputError for a tensor that the format
    has no place for.
    """
    from gguf import get_tensor_name_map

    names = get_tensor_name_map(shape.architecture, shape.layers)
    for name, stored in stored_weights(folder):
        values = np.ascontiguousarray(stored.float().numpy())
        told = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if told is None:
            raise InputError(f"GGUF has no place for {name} of a {shape.family} model", got=name)
        turns = shape.interleaves and any(part in name for part in ("self_attn.q_proj", "self_attn.k_proj"))
        heads = shape.heads if "q_proj" in name else shape.key_heads
        placed = interleaved(values, heads) if turns else values
        yield Weight(told, placed, _format(placed, matrices))
    if (factors := rope_factors(shape)) is not None:
        yield Weight(ROPE_FACTORS, factors, "f32")


def interleaved(values: np.ndarray, heads: int) -> np.ndarray:
    """Rows of each head in the order of the Llama authors: first of the first half, first of the second, and so on.

    >>> interleaved(np.arange(4), 1).tolist()
    [0, 2, 1, 3]
    """
    halves = values.reshape(heads, 2, len(values) // heads // 2, *values.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(values.shape))


def _format(values: np.ndarray, matrices: str) -> str:
    if values.ndim < 2:
        return "f32"
    return "f16" if matrices == "q8_0" and values.shape[-1] % BLOCK else matrices
