"""A trained model written so that plain transformers and peft load it, as a whole or not at all."""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossmith.models.first_tokens import first_tokens
from lossmith.models.hidden import unwrap
from lossmith.models.merging import merge_adapter
from lossmith.models.pooled import PooledClassifier
from lossmith.models.retrieval import RetrievalClassifier
from lossmith.models.retrieval_files import save_retrieval

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase


def save_model(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase | None,
    folder: Path,
    *,
    end_ids: Sequence[int],
    write_more: Callable[[Path], None] | None = None,
) -> None:
    """Write `model` (whole, or its adapter) and its tokenizer, where it has one, to `folder`, replacing what was there.

    An adapter whose base was built here with random weights is merged first: its base lies nowhere to be loaded from.
    Embeddings resized for added tokens are not copied into an adapter: their trained rows are in it, and
    AutoPeftModelForCausalLM makes room for them by the tokenizer saved beside. `write_more` may add files before the
    folder gets its name.
    """
    saved: Any = without_wrapper(model)
    with _staged(folder) as staging:
        if isinstance(saved, RetrievalClassifier):
            save_retrieval(saved, staging)
        elif isinstance(saved, PooledClassifier):
            _write(saved.backbone, staging, None)
            saved.save_head(staging)
        else:
            _write(saved, staging, _generation(saved, tokenizer, end_ids) if end_ids else None)
        if tokenizer is not None:
            tokenizer.save_pretrained(staging)
        if write_more is not None:
            write_more(staging)


def _generation(model: Any, tokenizer: Any, end_ids: Sequence[int]) -> Any:
    """How answers begin and end; how the base decodes is not taken over: that belongs to whoever generates."""
    from transformers import GenerationConfig

    whole: Any = unwrap(model)
    return GenerationConfig(
        **first_tokens(whole),
        forced_eos_token_id=whole.generation_config.forced_eos_token_id,
        eos_token_id=list(end_ids),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )


def _write(model: Any, staging: Path, generation: Any) -> None:
    """A model or its adapter; what does not write text has no generation settings, and needs its labels beside."""
    if not hasattr(model, "peft_config"):
        _write_whole(model, staging, generation)
    elif base_name(model) is None:
        _write_whole(merge_adapter(copy.deepcopy(model)), staging, generation)
    else:
        _write_adapter(model, staging)
        beside: Any = generation or unwrap(model).config
        beside.save_pretrained(staging)


def without_wrapper(model: nn.Module) -> nn.Module:
    """The model inside DDP and torch.compile, its adapter still on it."""
    while hasattr(model, "_orig_mod") or type(model).__name__ == "DistributedDataParallel":
        model = model._orig_mod if hasattr(model, "_orig_mod") else model.module  # type: ignore[assignment]
    return model


def base_name(model: Any) -> str | None:
    """The name an adapter will be loaded on, absolute where it is a folder; None for a base built from nothing."""
    name = model.peft_config["default"].base_model_name_or_path or getattr(unwrap(model), "name_or_path", "")
    if not name:
        return None
    return str(Path(name).absolute()) if Path(name).is_dir() else str(name)


def _write_whole(model: Any, staging: Path, generation: Any) -> None:
    kept, cache = getattr(model, "generation_config", None), getattr(model.config, "use_cache", None)
    if generation is not None:
        model.generation_config = generation
    # Trainers switch the cache of keys and values off for their own steps; without it writing is many times as slow.
    if cache is False:
        model.config.use_cache = True
    try:
        model.save_pretrained(staging)
    finally:
        if generation is not None:
            model.generation_config = kept
        if cache is False:
            model.config.use_cache = cache


def _write_adapter(model: Any, staging: Path) -> None:
    settings = model.peft_config["default"]
    kept = settings.base_model_name_or_path
    settings.base_model_name_or_path = base_name(model)
    try:
        model.save_pretrained(staging, save_embedding_layers=False)
    finally:
        settings.base_model_name_or_path = kept
    # peft writes a card with placeholders; the card is the release's to write.
    (staging / "README.md").unlink(missing_ok=True)


@contextmanager
def adapter_alone(model: nn.Module) -> Iterator[None]:
    """Inside, saving a peft model leaves embeddings out: the base has them, and the adapter the rows that trained."""
    saved: Any = without_wrapper(model)
    if not hasattr(saved, "peft_config"):
        yield
        return
    saved.save_pretrained = partial(type(saved).save_pretrained, saved, save_embedding_layers=False)
    try:
        yield
    finally:
        del saved.save_pretrained


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """A sibling folder to write into, renamed to `folder` at the end and removed on failure."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    staging.chmod(0o755)
    old = staging.with_name(f"{staging.name}.old")
    try:
        yield staging
        if folder.exists():
            folder.rename(old)
        staging.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
