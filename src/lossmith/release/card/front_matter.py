"""The facts that a hub reads of a card before anybody does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lossmith.models.stored import Stored, StoredKind

_PIPELINES: Mapping[StoredKind, str] = {
    "causal": "text-generation",
    "seq2seq": "text2text-generation",
    "classifier": "text-classification",
    "pooled": "text-classification",
    "retrieval": "text-classification",
}


def front_matter(
    name: str,
    stored: Stored,
    *,
    base: str | None,
    sources: list[str],
    metrics: Mapping[str, Any] | None,
    license_name: str | None = None,
) -> str:
    """YAML between two lines of dashes, as huggingface_hub writes it; a base that is no hub name is left out."""
    from huggingface_hub import EvalResult, ModelCardData

    split = metrics["split"] if metrics else "test"
    results = [
        EvalResult(
            task_type=_PIPELINES[stored.kind],
            dataset_type="own",
            dataset_name=", ".join(sources) or "own data",
            dataset_split=split,
            metric_type=metric,
            metric_value=figure["value"],
        )
        for metric, figure in (metrics or {}).get("metrics", {}).items()
        if figure["value"] is not None
    ]
    by_transformers = "peft" if stored.is_adapter else "transformers"
    data = ModelCardData(
        model_name=name if results else None,
        eval_results=results or None,
        base_model=base if base is not None and is_hub_name(base) else None,
        library_name="lossmith" if stored.kind in ("pooled", "retrieval") else by_transformers,
        pipeline_tag=_PIPELINES[stored.kind],
        tags=["lossmith"],
        license=license_name,
    )
    return f"---\n{data.to_yaml()}\n---"


def is_hub_name(name: str) -> bool:
    """Whether a base is called as on a hub, and is no folder here.

    >>> is_hub_name("Qwen/Qwen3-0.6B"), is_hub_name("/models/mine"), is_hub_name("scratch-tiny")
    (True, False, False)
    """
    return 0 < name.count("/") <= 1 and not name.startswith((".", "/", "~")) and not Path(name).is_dir()
