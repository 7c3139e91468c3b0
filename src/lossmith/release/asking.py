"""What a stored model says of the probes: logits, and the text it writes when it always takes the likeliest token."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lossmith.config.model import ModelConfig
from lossmith.errors import LossmithError
from lossmith.models.hidden import unwrap
from lossmith.models.precision import Precision
from lossmith.models.stored import Stored, load_stored

# Tokens of a probe that are read, and tokens that are written after it.
_READ, _WRITTEN = 48, 24
_LOADERS = {
    "causal": "AutoModelForCausalLM",
    "seq2seq": "AutoModelForSeq2SeqLM",
    "classifier": "AutoModelForSequenceClassification",
}
# By the keys of what transformers tell of a loading.
_MISFITS = {
    "missing_keys": "weights are missing",
    "unexpected_keys": "weights that belong to no layer are there",
    "mismatched_keys": "weights have other shapes than config.json says",
}


@dataclass(frozen=True)
class Said:
    """What a model says of one probe.

    ids: its tokens. logits (positions, vocabulary), or (1, outputs) of a classifier. `written` are the ids that it goes
    on with, and `margins` by how much each was likelier than the next, in logits.
    """

    ids: tuple[int, ...]
    logits: Tensor
    written: tuple[int, ...] = ()
    margins: tuple[float, ...] = ()


@dataclass(frozen=True)
class Opened:
    """A stored model that is ready to be asked, and its tokenizer.

    `misfits` say which weights the folder lacks or holds too many of, as transformers tell it.
    """

    stored: Stored
    model: Any
    tokenizer: Any
    misfits: tuple[str, ...] = ()


def open_model(stored: Stored, *, precision: Precision, config: ModelConfig | None) -> Opened:
    """Load a model: with `config` as the run that it is from does.

    Without, a whole model is loaded by transformers alone, as people do who never heard of lossmith.
    """
    plain = config is None and not stored.is_adapter and stored.kind in _LOADERS
    opened = _plainly(stored, precision) if plain else _by_lossmith(stored, precision, config)
    if stored.writes:
        _write_as_stored(opened.model, stored.folder)
    return opened


def ask(opened: Opened, probes: Sequence[str]) -> list[Said]:
    """Ask a model every probe of which its tokenizer makes tokens."""
    model, tokenizer = opened.model, opened.tokenizer
    read = [ids for text in probes if (ids := tokenizer(text, truncation=False)["input_ids"][:_READ])]
    if opened.stored.kind == "seq2seq":
        return [_asked_pair(model, tokenizer, ids, other) for ids, other in zip(read, read[1:] + read[:1], strict=True)]
    if opened.stored.writes:
        return [_asked_writer(model, tokenizer, ids) for ids in read]
    return [_asked_classifier(model, ids) for ids in read]


def _plainly(stored: Stored, precision: Precision) -> Opened:
    import transformers

    loader: Any = getattr(transformers, _LOADERS[stored.kind])
    folder, how = str(stored.folder), {"dtype": precision.dtype, "output_loading_info": True}
    with _telling(f"the model in {folder}"):
        model, told = loader.from_pretrained(folder, **how, ignore_mismatched_sizes=True)
    with _telling(f"the tokenizer in {folder}"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)  # a folder that was given  # nosec B615
    misfits = [_misfit(what, told[key]) for key, what in _MISFITS.items() if told.get(key)]
    return Opened(stored, model.to(precision.device).eval(), tokenizer, tuple(misfits))


@contextmanager
def _telling(what: str) -> Iterator[None]:
    """Say what could not be loaded, whatever a damaged file makes transformers raise."""
    try:
        yield
    except Exception as error:
        said = next((line for line in str(error).splitlines() if line.strip()), "")
        raise LossmithError(f"{what} cannot be loaded by transformers: {type(error).__name__}: {said}") from error


def _misfit(what: str, keys: Iterable[Any]) -> str:
    """A sentence on weights; where shapes differ, transformers tell a name and both shapes."""
    names = sorted(key if isinstance(key, str) else str(key[0]) for key in keys)
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"{what}: {', '.join(names[:4])}{more}"


def _by_lossmith(stored: Stored, precision: Precision, config: ModelConfig | None) -> Opened:
    loaded, tokenizer = load_stored(stored, precision=precision, config=config)
    return Opened(stored, loaded.model, tokenizer)


def _write_as_stored(model: Any, folder: Path) -> None:
    """Let a model write by the settings that lie with it: under an adapter its base would bring its own."""
    from transformers import GenerationConfig
    from transformers.utils import GENERATION_CONFIG_NAME

    if (folder / GENERATION_CONFIG_NAME).is_file():
        for each in (model, unwrap(model)):
            each.generation_config = GenerationConfig.from_pretrained(folder)  # a folder that was given  # nosec B615


@torch.no_grad()
def _asked_writer(model: Any, tokenizer: Any, ids: Sequence[int]) -> Said:
    given = torch.tensor([ids], device=_device(model))
    logits = model(input_ids=given, attention_mask=torch.ones_like(given)).logits[0].float().cpu()
    return Said(tuple(ids), logits, *_continued(model, tokenizer, given, begins=given.shape[1]))


@torch.no_grad()
def _asked_pair(model: Any, tokenizer: Any, ids: Sequence[int], other: Sequence[int]) -> Said:
    """An encoder-decoder reads one probe and is told that it had begun to write another."""
    given = torch.tensor([ids], device=_device(model))
    start = model.generation_config.decoder_start_token_id
    start = model.config.decoder_start_token_id if start is None else start
    target = torch.tensor([[start, *other]], device=_device(model))
    logits = model(input_ids=given, attention_mask=torch.ones_like(given), decoder_input_ids=target).logits
    return Said(tuple(ids), logits[0].float().cpu(), *_continued(model, tokenizer, given, begins=1))


@torch.no_grad()
def _asked_classifier(model: Any, ids: Sequence[int]) -> Said:
    given = torch.tensor([ids], device=_device(model))
    logits = model(input_ids=given, attention_mask=torch.ones_like(given)).logits
    return Said(tuple(ids), logits.float().cpu())


def _continued(model: Any, tokenizer: Any, given: Tensor, *, begins: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The likeliest tokens one after another, and how far each was from the next; sampling settings are left aside."""
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    made = model.generate(
        input_ids=given,
        attention_mask=torch.ones_like(given),
        max_new_tokens=_WRITTEN,
        do_sample=False,
        num_beams=1,
        pad_token_id=pad,
        return_dict_in_generate=True,
        output_logits=True,
    )
    best = [step[0].float().topk(2).values for step in made.logits]
    return tuple(made.sequences[0, begins:].tolist()), tuple(float(two[0] - two[1]) for two in best)


def _device(model: Any) -> torch.device:
    device: torch.device = next(model.parameters()).device
    return device
