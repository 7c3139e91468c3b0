"""What a stored model says of the probes: logits, and the text it writes when it always takes the likeliest token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lossmith.config.model import ModelConfig
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


def ask(stored: Stored, probes: Sequence[str], *, precision: Precision, config: ModelConfig | None) -> list[Said]:
    """Ask a model every probe of which its tokenizer makes tokens.

    With `config` it is loaded as the run that it is from does; without, a whole model is loaded by transformers alone,
    as people do who never heard of lossmith.
    """
    plain = config is None and not stored.is_adapter and stored.kind in _LOADERS
    model, tokenizer = _plainly(stored, precision) if plain else _by_lossmith(stored, precision, config)
    if stored.writes:
        _write_as_stored(model, stored.folder)
    read = [ids for text in probes if (ids := tokenizer(text, truncation=False)["input_ids"][:_READ])]
    if stored.kind == "seq2seq":
        return [_asked_pair(model, tokenizer, ids, other) for ids, other in zip(read, read[1:] + read[:1], strict=True)]
    if stored.writes:
        return [_asked_writer(model, tokenizer, ids) for ids in read]
    return [_asked_classifier(model, ids) for ids in read]


def _plainly(stored: Stored, precision: Precision) -> tuple[Any, Any]:
    import transformers

    loader: Any = getattr(transformers, _LOADERS[stored.kind])
    folder = str(stored.folder)
    model = loader.from_pretrained(folder, dtype=precision.dtype).to(precision.device).eval()
    return model, transformers.AutoTokenizer.from_pretrained(folder)  # a folder that was given  # nosec B615


def _by_lossmith(stored: Stored, precision: Precision, config: ModelConfig | None) -> tuple[Any, Any]:
    loaded, tokenizer = load_stored(stored, precision=precision, config=config)
    return loaded.model, tokenizer


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
