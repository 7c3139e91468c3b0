"""Fine-tune language models on the objective the task really has.

>>> import lossmith
>>> sorted(lossmith.__all__)
['ablate', 'compare', 'cv', 'evaluate', 'predict', 'prepare', 'run', 'train', 'tune']
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lossmith import evaluate, train
    from lossmith.stages import compare, predict, prepare, run
    from lossmith.studies.ablate import ablate
    from lossmith.studies.cv import cv
    from lossmith.studies.tune import tune

__all__ = ["ablate", "compare", "cv", "evaluate", "predict", "prepare", "run", "train", "tune"]

# The rooms `train` and `evaluate` share their names with functions: those modules are callable.
_ROOMS = ("evaluate", "train")
_STUDIES = ("ablate", "cv", "tune")


def __getattr__(name: str) -> Any:
    """Load a function when it is asked for; importing lossmith loads nothing."""
    if name in _ROOMS:
        return importlib.import_module(f"lossmith.{name}")
    if name in __all__:
        module = f"lossmith.studies.{name}" if name in _STUDIES else "lossmith.stages"
        return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module 'lossmith' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
