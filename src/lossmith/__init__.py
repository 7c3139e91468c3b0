"""Fine-tune language models on the objective the task really has.

>>> import lossmith
>>> sorted(lossmith.__all__)
['ablate', 'compare', 'cv', 'evaluate', 'explain', 'predict', 'prepare', 'run', 'train', 'tune']
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lossmith import evaluate, train
    from lossmith.evidence.explain import explain
    from lossmith.stages import compare, predict, prepare, run
    from lossmith.studies.ablate import ablate
    from lossmith.studies.cv import cv
    from lossmith.studies.tune import tune

__all__ = ["ablate", "compare", "cv", "evaluate", "explain", "predict", "prepare", "run", "train", "tune"]

# The rooms `train` and `evaluate` share their names with functions: those modules are callable.
_ROOMS = ("evaluate", "train")
_MODULES = {
    "ablate": "lossmith.studies.ablate",
    "cv": "lossmith.studies.cv",
    "explain": "lossmith.evidence.explain",
    "tune": "lossmith.studies.tune",
}


def __getattr__(name: str) -> Any:
    """Load a function when it is asked for; importing lossmith loads nothing."""
    if name in _ROOMS:
        return importlib.import_module(f"lossmith.{name}")
    if name in __all__:
        return getattr(importlib.import_module(_MODULES.get(name, "lossmith.stages")), name)
    raise AttributeError(f"module 'lossmith' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
