"""How long operations take on a device, by what it multiplies and moves in a second."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from lossmith.doctor.health.devices import gigaflops

# As large as activations of a small model are: what is larger takes memory anew from the system, and longer.
COPIED_NUMBERS = 2**22
ROUNDS = 5
OPERATIONS = 200


@dataclass(frozen=True)
class Speed:
    """What a device does in a second: operations of matrix products, bytes read or written, and calls of small
    operations.
    """

    flops: float
    bytes: float
    calls: float

    @classmethod
    def of(cls, device: torch.device, dtype: torch.dtype) -> Speed:
        """Measured: products of square matrices, a copy of 16 MiB, additions of two numbers."""
        numbers = torch.ones(COPIED_NUMBERS, device=device)
        small = torch.ones(2, device=device)

        def add() -> None:
            for _ in range(OPERATIONS):
                small.add(small)
            float(small[0])

        copied = _seconds(lambda: float(numbers.add(1.0)[0]))
        return cls(gigaflops(device, dtype) * 1e9, 2 * 4 * COPIED_NUMBERS / copied, OPERATIONS / _seconds(add))


def _seconds(run: Callable[[], object]) -> float:
    """The shortest of a few runs after a first."""
    found = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    return min(found[1:])


class Duration(TorchDispatchMode):
    """Inside, `seconds` adds up what each operation takes: the longest of its products, its bytes and its call.

    Operations are taken one after another, as a processor does them.
    """

    def __init__(self, speed: Speed) -> None:
        super().__init__()
        self.speed, self.seconds = speed, 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Carry out an operation, and add its time."""
        kwargs = kwargs or {}
        made = func(*args, **kwargs)
        # Questions after a device or a shape, which stand in for nothing, are of the namespace prim.
        if not func.is_view and func.namespace != "prim":
            moved = sum(_bytes(leaf) for leaf in tree_leaves((args, kwargs, made)) if isinstance(leaf, Tensor))
            flops = operations(func, args, kwargs, made)
            self.seconds += max(flops / self.speed.flops, moved / self.speed.bytes, 1 / self.speed.calls)
        return made


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def operations(func: Any, args: Any, kwargs: Any, made: Any) -> float:
    """Floating-point operations of the matrix products in an operation, 0 where it has none."""
    packet = func._overloadpacket
    if packet in flop_registry:
        return float(flop_registry[packet](*args, **kwargs, out_val=made))
    products = _ATTENTION_PRODUCTS.get(packet.__name__)
    if products is None:
        return 0.0
    # query (examples, heads, tokens, width) and key; of backward they come after the gradient.
    query, key = args[:2] if products == 2 else args[1:3]
    return products * 2.0 * math.prod(query.shape) * key.shape[-2]


# A processor's attention, which the table of torch leaves out: products of queries' and keys' size in each.
_ATTENTION_PRODUCTS: Mapping[str, int] = {
    "_scaled_dot_product_flash_attention_for_cpu": 2,
    "_scaled_dot_product_flash_attention_for_cpu_backward": 5,
}
