"""From a run's predictions to its metrics.json, and from two runs to their paired difference.

`lossmith.evaluate(run)` is callable.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """The room and the public function share a name, so the module itself is the function."""

    def __call__(self, run: str | Path, overrides: Sequence[str] = (), *, split: str | None = None) -> dict[str, Any]:
        """Score the predictions of a run; see `lossmith.evaluate.run.evaluate`."""
        from lossmith.evaluate.run import evaluate

        return evaluate(run, overrides, split=split)


sys.modules[__name__].__class__ = _Callable
