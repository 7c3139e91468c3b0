"""Models with a class head: transformers' own, or a linear layer on pooled hidden states."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lossmith.config.model import ModelConfig
from lossmith.errors import InputError
from lossmith.models.adapters import add_lora, load_adapter
from lossmith.models.added_tokens import AddedTokens, add_tokens, give_rows
from lossmith.models.base_tokenizer import raw_tokenizer, require_pad_token
from lossmith.models.class_head import ClassHead, names_of
from lossmith.models.features import freeze_backbone
from lossmith.models.load import Loaded, finished
from lossmith.models.pooled import HEAD_FILE, PooledClassifier, Pooling, saved_head, sentence_pooling
from lossmith.models.precision import Precision
from lossmith.models.pretrained import (
    BACKBONE,
    CLASSIFIER,
    check_rows,
    load_pretrained,
    prepared_for_4bit,
    refuse_4bit_scratch,
)
from lossmith.models.scratch import build_scratch_backbone, build_scratch_classifier
from lossmith.models.source import Source, find_source

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SEQUENCE, FEATURES = "SEQ_CLS", "FEATURE_EXTRACTION"


@dataclass(frozen=True)
class _Body:
    """A model before its adapter: where it comes from, the modules of its head, and the sentences that tell it."""

    model: Any
    source: Source | None = None
    added: AddedTokens = field(default_factory=lambda: AddedTokens({}))
    head: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def load_classifier(
    config: ModelConfig,
    tokenizer: PreTrainedTokenizerBase,
    head: ClassHead,
    *,
    precision: Precision,
    seed: int = 0,
    training: bool = True,
) -> Loaded:
    """A model whose calls give logits (examples, outputs), on its device, with its adapter when it is to train.

    A base without a head gets a random one of this seed; one that was fine-tuned on the same labels keeps its own. With
    `model.pooling`, and for folders of sentence encoders, the head is a linear layer on pooled states. With
    training=False nothing is added and nothing requires a gradient.
    Raises InputError for a missing or unfit model, for a head of other labels, and, when not training, for none.
    """
    require_pad_token(tokenizer, str(config.base))
    lora = training and config.resolved_adapter == "lora"
    pooling = pooling_of(config)
    if pooling is None:
        body = _native(config, tokenizer, head, precision=precision, seed=seed, training=training)
    else:
        body = _backbone(config, tokenizer, precision=precision, seed=seed, training=training)
    model, notes, warnings = body.model, [*body.added.notes, *body.notes], [*body.added.warnings]
    kind = SEQUENCE if pooling is None else FEATURES
    if training and config.load_in_4bit:
        model = prepared_for_4bit(model, lora)
    if body.source is not None and body.source.adapter is not None:
        model, told = load_adapter(model, body.source, config, training=training, task_type=kind)
        notes += told
    elif lora:
        adapted = add_lora(
            model, config, token_ids=body.added.ids, scratch=config.is_scratch, task_type=kind, head=body.head
        )
        model = adapted.model
        notes += adapted.notes
        warnings += adapted.warnings
    if pooling is not None:
        model = PooledClassifier(model, pooling, head, seed=seed)
        notes += _judge_pooled(model, body.source, training=training)
    if training and config.freeze_backbone:
        freeze_backbone(model, fresh=body.head)
    return finished(model, config, tokenizer, precision=precision, training=training, notes=notes, warnings=warnings)


def pooling_of(config: ModelConfig) -> Pooling | None:
    """How states become one vector: as the configuration, a head beside the model, or a sentence encoder says.

    None where none does: the model's own head knows.
    """
    asked = config.pooling
    assert asked != "tokens", "a class head reads one vector; the configuration was checked"
    if config.is_scratch:
        return asked
    source = find_source(str(config.base), revision=config.revision)
    saved = saved_head(Path(source.name)) if Path(source.name).is_dir() else None
    if saved is not None:
        return asked or saved[0]
    return asked or sentence_pooling(source.base, revision=source.base_revision)


def _native(
    config: ModelConfig,
    tokenizer: PreTrainedTokenizerBase,
    head: ClassHead,
    *,
    precision: Precision,
    seed: int,
    training: bool,
) -> _Body:
    full = _trains_whole(config, training=training)
    if config.is_scratch:
        refuse_4bit_scratch(config)
        scratch: Any = build_scratch_classifier(config, tokenizer, head, seed=seed)
        return _Body(scratch if full else scratch.to(precision.dtype), head=head_modules(scratch))
    source = find_source(str(config.base), revision=config.revision)
    added = add_tokens(raw_tokenizer(config), config.add_tokens)
    settings = {**head.settings, "pad_token_id": tokenizer.pad_token_id}
    more: dict[str, Any] = {"ignore_mismatched_sizes": True, **settings}
    if config.load_in_4bit:
        more["unquantised"] = list(_head_of_shape(source, settings))
    with _seeded(seed, precision):
        model, info = load_pretrained(CLASSIFIER, config, source, precision=precision, full=full, **more)
    check_rows(model, tokenizer, added, source)
    give_rows(model, tokenizer, added)
    fresh = _fresh_modules(model, info, source)
    notes = _judge_head(source, head, fresh, training=training)
    modules = tuple(dict.fromkeys([*fresh, *head_modules(model)]))
    return _Body(model, source, added, modules, tuple(notes))


def head_modules(model: Any) -> tuple[str, ...]:
    """The children of a transformers model that hold weights and are not its backbone."""
    return tuple(
        name
        for name, child in model.named_children()
        if name != model.base_model_prefix and any(True for _ in child.parameters())
    )


def _head_of_shape(source: Source, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The head's modules before any weight is loaded."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    shape = AutoConfig.from_pretrained(source.base, revision=source.base_revision, **settings)
    with torch.device("meta"):
        return head_modules(AutoModelForSequenceClassification.from_config(shape))


def _fresh_modules(model: Any, info: Mapping[str, Any], source: Source) -> tuple[str, ...]:
    """The modules whose weights the checkpoint lacks, or has for another number of outputs.

    Raises InputError where they are more than a head and what pools for it.
    """
    unlike = [key if isinstance(key, str) else key[0] for key in info["mismatched_keys"]]
    lacking = [*info["missing_keys"], *unlike]
    prefix = f"{model.base_model_prefix}."
    names = tuple(dict.fromkeys(key.removeprefix(prefix).split(".")[0] for key in sorted(lacking)))
    body = {name for name, _ in getattr(model, model.base_model_prefix, model).named_children()} - {"pooler"}
    if missing := [key for key in sorted(lacking) if key.startswith(prefix) and key.split(".")[1] in body]:
        raise InputError(
            f"{source.base} lacks weights of its backbone: they would be random",
            got=f"missing: {', '.join(missing[:4])}" + (f" and {len(missing) - 4} more" if len(missing) > 4 else ""),
            expected="the checkpoint of an encoder or a decoder",
        )
    return names


def _judge_head(source: Source, head: ClassHead, fresh: tuple[str, ...], *, training: bool) -> list[str]:
    """The sentence on the head; an adapter brings its own.

    Raises InputError for a head of as many other labels, and for none where the model is only asked.
    """
    from transformers import AutoConfig

    place = source.name
    own: tuple[str, ...] | None = None
    if source.adapter is None or (Path(place) / "config.json").is_file():
        own = names_of(AutoConfig.from_pretrained(place, revision=source.revision))
    there = not fresh or source.adapter is not None
    wanted, outputs = ", ".join(head.names), f"{len(head.names)} outputs ({', '.join(head.names)})"
    if there and own is not None and own != head.names:
        raise _other_labels(place, own, head.names)
    if there:
        return [f"{place} keeps its head of {outputs}"] if training and source.adapter is None else []
    if not training:
        raise InputError(
            f"{place} has no head of these labels, so it cannot be asked for them",
            got=f"random weights of {', '.join(fresh)}",
            expected=wanted,
            fix="train it, or name a model that was fine-tuned on them",
        )
    return [f"{place} has no head of these labels: one of {outputs} begins with random weights ({', '.join(fresh)})"]


def _backbone(
    config: ModelConfig, tokenizer: PreTrainedTokenizerBase, *, precision: Precision, seed: int, training: bool
) -> _Body:
    full = _trains_whole(config, training=training)
    if config.is_scratch:
        refuse_4bit_scratch(config)
        scratch: Any = build_scratch_backbone(config, tokenizer, seed=seed)
        return _Body(scratch if full else scratch.to(precision.dtype))
    source = find_source(str(config.base), revision=config.revision)
    added = add_tokens(raw_tokenizer(config), config.add_tokens)
    with _seeded(seed, precision):
        model, _ = load_pretrained(BACKBONE, config, source, precision=precision, full=full)
    check_rows(model, tokenizer, added, source)
    give_rows(model, tokenizer, added)
    return _Body(model, source, added)


def _trains_whole(config: ModelConfig, *, training: bool) -> bool:
    """Whether the backbone's own weights train, and so are loaded in fp32."""
    return training and config.resolved_adapter != "lora" and not config.freeze_backbone


def _judge_pooled(model: PooledClassifier, source: Source | None, *, training: bool) -> list[str]:
    """Give a pooled model the head that was saved with its backbone; the sentence that tells it.

    Raises InputError for a head of as many other labels, and for none where the model is only asked.
    """
    wanted = model.outputs
    place = None if source is None else Path(source.name)
    saved = saved_head(place) if place is not None and place.is_dir() else None
    if training and saved is not None and len(saved[1].names) != len(wanted.names):
        saved = None
    if saved is None and not training:
        raise InputError(f"{place} has no class head", got=f"no {HEAD_FILE}", expected=", ".join(wanted.names))
    if saved is None:
        kind = {"mean": "the mean of the last states", "cls": "the first state", "last": "the last state"}
        return [
            f"{kind[model.pooling]} goes into a linear head of {len(wanted.names)} outputs "
            f"({', '.join(wanted.names)}), random at first and saved as {HEAD_FILE} beside the backbone: "
            "the model is loaded by lossmith"
        ]
    assert place is not None, "a head was found there"
    if saved[1].names != wanted.names:
        raise _other_labels(str(place), saved[1].names, wanted.names)
    model.load_head(place / HEAD_FILE)
    return [f"{place} keeps its head of {', '.join(wanted.names)}"] if training else []


def _other_labels(place: str, own: tuple[str, ...], wanted: tuple[str, ...]) -> InputError:
    same = sorted(own) == sorted(wanted)
    return InputError(
        f"the head of {place} tells other labels apart" + (", or the same in another order" if same else ""),
        got=", ".join(own),
        expected=", ".join(wanted),
        fix=f"task.classes=[{', '.join(own)}]" if same else "a base without a head, or one of these labels",
    )


@contextmanager
def _seeded(seed: int, precision: Precision) -> Iterator[None]:
    """What is random in a model follows from the seed alone, and leaves the global seed as it is."""
    with torch.random.fork_rng(devices=[precision.device] if precision.device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
