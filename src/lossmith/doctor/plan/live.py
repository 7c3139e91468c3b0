"""Bytes of the tensors that are alive while code runs, counted where they are made and where they end."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Inside, `now` is what all tensors made since hold together and `peak` its highest value.

    Views hold nothing of their own. Real tensors and fake ones count alike, on whatever device; memory that a kernel
    uses for itself is not seen, nor what an allocator keeps for later. `of_peak` is what `watch` gave at the peak.

    >>> import torch
    >>> with LiveBytes() as live:
    ...     made = torch.ones(1024) * 2
    >>> live.now, live.peak
    (4096, 8192)
    """

    def __init__(self, outside: Iterable[Tensor] = (), *, watch: Callable[[], int] = lambda: 0) -> None:
        """`outside` are tensors made before: they and their views hold nothing that is counted here."""
        super().__init__()
        self.now = self.peak = self.of_peak = 0
        self._watch = watch
        self._seen: dict[int, Any] = {}
        for tensor in outside:
            self._hold(tensor, counted=False)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Carry out an operation, and count what it makes."""
        made = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor):
                self._hold(leaf, counted=True)
        return made

    def restart(self) -> None:
        """Take what is alive now as the highest value so far."""
        self.peak, self.of_peak = self.now, self._watch()

    def _hold(self, tensor: Tensor, *, counted: bool) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._seen:
            return
        size = storage.nbytes() if counted else 0
        self.now += size
        if self.now > self.peak:
            self.restart()

        def ended(_: Any) -> None:
            self._seen.pop(key, None)
            self.now -= size

        self._seen[key] = weakref.ref(storage, ended)


def bytes_of(tensors: Iterable[Tensor]) -> int:
    """What some tensors hold, each storage once.

    >>> import torch
    >>> one = torch.ones(2, 3)
    >>> bytes_of([one, one.T])
    24
    """
    held = {tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(held.values())


def largest(tensors: Iterable[Tensor]) -> int:
    """Numbers in the largest of some tensors, 0 for none.

    >>> import torch
    >>> largest([torch.ones(2, 3), torch.ones(4)])
    6
    """
    return max((tensor.numel() for tensor in tensors), default=0)
