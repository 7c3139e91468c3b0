"""Merge the adapter of a run into its base: one whole model, in 32 or 16 bits, that plain transformers load."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lossmith.config.model import ModelConfig
from lossmith.errors import InputError, LossmithError, unknown_name
from lossmith.models.merging import merge_adapter
from lossmith.models.pooled import PooledClassifier
from lossmith.models.precision import DTYPES, Precision
from lossmith.models.save import save_model
from lossmith.models.sentencepiece_file import copy_sentencepiece
from lossmith.models.source import MODEL_FILE, Source, find_source
from lossmith.models.stored import Stored, load_stored, stored_model
from lossmith.release.run_model import TrainedRun, facts_of, trained_run
from lossmith.runs import FACTS_FILE, read_json, write_json
from lossmith.train.progress import log_to

logger = logging.getLogger("lossmith")


@dataclass(frozen=True)
class Merged:
    """A merged model: its folder, its size on disk, and the sentences that tell what was done."""

    path: Path
    size_bytes: int
    notes: tuple[str, ...]
    gguf: Path | None = None


def merge(run: str | Path, *, out: Path | None = None, dtype: str = "float32", gguf: str | None = None) -> Merged:
    """Write the model of a run as one whole model; `out` is runs/NAME/merged where it is not given.

    With `gguf`, f16 or q8_0, a GGUF file of a Llama or a Qwen lies beside its weights.

    The sum of base and adapter is made in 32 bits, whatever the base is stored in, and rounded once. A base that was
    trained on in 4 bits is loaded again as it is stored. Heads, added tokens, and embeddings that are tied or not stay
    what they were in training. A model without an adapter is written in the number format asked for.
    Raises InputError for a run without a model, a base that is stored in 4 or 8 bits alone, a folder that holds
    something else, and numbers that float16 cannot hold.
    """
    if dtype not in DTYPES:
        raise unknown_name("number format", dtype, DTYPES, where="--dtype")
    trained = trained_run(run)
    stored = stored_model(trained.folder.model)
    if stored.kind == "retrieval":
        raise InputError(
            f"{run} is a retrieval classifier: its encoder is used as it is, so there is nothing to merge",
            got="task.kind=retrieval",
            expected="a model of transformers, or an adapter of one",
            fix=f"lossmith publish {run} gives it away as it is",
        )
    source = find_source(str(stored.folder))
    _refuse_quantised(source)
    target = out or trained.folder.merged
    _check_target(target)
    if gguf is not None:
        from lossmith.release.gguf.write import check_gguf

        check_gguf(stored.folder, gguf)
    with trained.folder.lock(), log_to(trained.folder.log, quiet=True):
        merged = _merge_into(target, trained, stored, source, dtype=dtype)
        done = merged if gguf is None else _with_gguf(merged, trained, gguf)
        for note in done.notes:
            logger.info("%s: %s", target, note)
    return done


def _with_gguf(merged: Merged, trained: TrainedRun, matrices: str) -> Merged:
    from lossmith.release.gguf.write import write_gguf

    path = write_gguf(merged.path, name=trained.name, matrices=matrices)
    note = f"{path.name} was read back: every tensor, every value within half a step of {matrices}, the tokenizer"
    return replace(merged, gguf=path, notes=(*merged.notes, note))


def _merge_into(target: Path, trained: TrainedRun, stored: Stored, source: Source, *, dtype: str) -> Merged:
    config = trained.config.model.model_copy(update={"load_in_4bit": False})
    loaded, tokenizer = load_stored(stored, precision=Precision(torch.device("cpu"), torch.float32), config=config)
    model = merge_adapter(loaded.model)
    # A head on pooled states is a file of its own, always in 32 bits.
    _round(model.backbone if isinstance(model, PooledClassifier) else model, dtype)
    facts = {**facts_of(stored.folder), "merged": _provenance(trained, source, dtype=dtype)}

    def write_more(folder: Path) -> None:
        write_json(folder / FACTS_FILE, facts)
        copy_sentencepiece(ModelConfig(base=str(stored.folder)), folder)

    save_model(model, tokenizer, target, end_ids=loaded.end_ids, write_more=write_more)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    return Merged(target, size, tuple(_told(trained, stored, source, dtype=dtype)))


@torch.no_grad()
def _round(model: Any, dtype: str) -> None:
    """Bring every weight to the number format, one after the other.

    Raises LossmithError where weights are no numbers, InputError where they are beyond the format.
    """
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise LossmithError(
                f"the weight {name} holds values that are no numbers, before anything was rounded",
                got=name,
                expected="a training that did not break down",
            )
        if not torch.isfinite(parameter.to(DTYPES[dtype])).all():
            raise InputError(
                f"the weight {name} holds numbers that {dtype} cannot",
                got=f"{parameter.abs().max().item():.3g}",
                expected=f"at most {torch.finfo(DTYPES[dtype]).max:.3g}",
                fix="--dtype bfloat16 takes as little room and reaches as far as float32",
            )
    model.to(DTYPES[dtype])


def _refuse_quantised(source: Source) -> None:
    """Raise InputError for a base whose stored weights are rounded to a few bits: added to them, an adapter is lost."""
    file = Path(source.base) / MODEL_FILE
    if not Path(source.base).is_dir():
        from transformers.utils import cached_file

        found = cached_file(
            source.base, MODEL_FILE, revision=source.base_revision, _raise_exceptions_for_missing_entries=False
        )
        file = Path(found) if found is not None else file
    known: Mapping[str, Any] = read_json(file) if file.is_file() else {}
    if method := (known.get("quantization_config") or {}).get("quant_method"):
        raise InputError(
            f"{source.base} is stored quantised, and rounding again would spoil what was trained",
            got=f"weights by {method}",
            expected="a base stored in 16 or 32 bits",
            fix="name the unquantised base in base_model_name_or_path of adapter_config.json",
        )


def _check_target(target: Path) -> None:
    """Raise InputError for a folder that holds anything but an earlier merge."""
    if target.is_file() or (target.is_dir() and any(target.iterdir()) and "merged" not in facts_of(target)):
        held = "a file" if target.is_file() else ", ".join(sorted(path.name for path in target.iterdir())[:6])
        raise InputError(
            f"{target} holds something else, which would be lost",
            got=held,
            expected="a folder that is not there, is empty, or holds an earlier merge",
            fix="give another --out",
        )


def _provenance(trained: TrainedRun, source: Source, *, dtype: str) -> dict[str, Any]:
    """What was merged; a base that is a folder is told by its name alone, because this file is given away."""
    base = Path(source.base).name if Path(source.base).is_dir() else source.base
    return {
        "run": trained.name,
        "trained": trained.trained,
        "base": base if source.adapter else None,
        "base_revision": source.base_revision if source.adapter else None,
        "dtype": dtype,
    }


def _told(trained: TrainedRun, stored: Stored, source: Source, *, dtype: str) -> list[str]:
    if not stored.is_adapter:
        return [f"{trained.name} has no adapter: its weights were written in {dtype} as they are"]
    notes = [f"the adapter of {trained.name} was added to {source.base} in float32 and written in {dtype}"]
    if trained.config.model.load_in_4bit:
        notes.append(
            "it was trained on the base in 4 bits and added to the base as it is stored: answers differ from those of "
            "the training by what 4 bits had rounded away"
        )
    return notes
