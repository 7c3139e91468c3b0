"""Training: the one Trainer subclass, and the run that carries it out. `lossmith.train(config)` is callable."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lossmith.train.run import TrainResult


class _Callable(ModuleType):
    """The room and the public function share a name, so the module itself is the function."""

    def __call__(
        self, config: str | Path | Mapping[str, Any], overrides: Sequence[str] = (), **options: Any
    ) -> TrainResult:
        """Train a model; see `lossmith.train.run.train`."""
        from lossmith.train.run import train

        return train(config, overrides, **options)


sys.modules[__name__].__class__ = _Callable
