"""Whether the tokenizer of a model, and its chat template, are fit to train and to ask with."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from typing import Any

from lossmith.config.model import ModelConfig
from lossmith.data.chat_template import Chat, end_of_turn
from lossmith.doctor.health.finding import Finding, State
from lossmith.errors import InputError, LossmithError
from lossmith.models.base_tokenizer import raw_tokenizer
from lossmith.models.source import find_source

_AREA = "tokenizer"
_DAY = datetime.date(2026, 1, 1)
_TURN = [{"role": "user", "content": "How long?"}, {"role": "assistant", "content": "One hour."}]
_SYSTEM = {"role": "system", "content": "You are brief."}


def tokenizer_findings(model: str) -> Iterator[Finding]:
    """What stands out in the tokenizer of a base, by its hub name or folder.

    Raises InputError where there is none.
    """
    if model.startswith("scratch-"):
        raise InputError(
            "a scratch base trains its tokenizer on the run's own text: there is none to look at",
            got=model,
            expected="a hub name, or a folder of a model",
        )
    tokenizer: Any = raw_tokenizer(ModelConfig(base=model))
    shape = _shape(model)
    yield from _special_tokens(tokenizer)
    yield _around_a_text(tokenizer, reads_apart=bool(getattr(shape, "is_encoder_decoder", False)))
    yield _offsets(tokenizer)
    if (size := _size(tokenizer, shape)) is not None:
        yield size
    if not tokenizer.chat_template:
        yield Finding(
            _AREA,
            "chat template",
            "ok",
            "none, as bases have it: messages are written in ChatML with the tokenizer's own end token",
            "model.chat_template=FILE for another",
        )
        return
    yield from _chat(Chat(tokenizer, tokenizer.chat_template, {}))


def _special_tokens(tokenizer: Any) -> Iterator[Finding]:
    pad, end = tokenizer.pad_token, tokenizer.eos_token
    if end is None:
        fix = "eos_token in tokenizer_config.json; a class head works without"
        yield Finding(_AREA, "end token", "warning", "none: an answer could never end, so nothing can be written", fix)
    else:
        yield Finding(_AREA, "end token", "ok", repr(end))
    if pad is None and end is None:
        fix = "pad_token in tokenizer_config.json"
        yield Finding(_AREA, "pad token", "error", "none, and no end token to pad with", fix)
    elif pad is None or pad == end:
        kept = "padding uses the end token; lossmith masks by position, so the end of an answer is still learnt"
        more = "other tools mask every end token with it: give the tokenizer a pad token before using them"
        yield Finding(_AREA, "pad token", "warning", kept, more)
    else:
        yield Finding(_AREA, "pad token", "ok", repr(pad))


def _offsets(tokenizer: Any) -> Finding:
    if tokenizer.is_fast:
        return Finding(_AREA, "offsets", "ok", f"{type(tokenizer).__name__} reports the characters of its tokens")
    said = f"{type(tokenizer).__name__} reports no characters, which spans and masks are read through"
    return Finding(_AREA, "offsets", "error", said, "a base that ships tokenizer.json")


def _around_a_text(tokenizer: Any, *, reads_apart: bool) -> Finding:
    """Whether an end token is put after every text, which ends a prompt before its answer has begun."""
    closes = tokenizer.eos_token_id is not None and tokenizer("a").input_ids[-1:] == [tokenizer.eos_token_id]
    if not closes:
        return Finding(_AREA, "after a text", "ok", "an end token is put where an answer ends alone")
    if reads_apart:
        return Finding(_AREA, "after a text", "ok", "the end token closes every text, as an encoder reads its source")
    said = "the end token is put after every text; lossmith leaves it out of prompts"
    more = "other tools end each prompt with it: add_eos_token=false, or another post-processor in tokenizer.json"
    return Finding(_AREA, "after a text", "warning", said, more)


def _shape(model: str) -> Any:
    """The configuration of the model, None where transformers knows none."""
    from transformers import AutoConfig

    source = find_source(model)
    try:
        return AutoConfig.from_pretrained(source.base, revision=source.base_revision)
    except (OSError, ValueError):
        return None


def _size(tokenizer: Any, shape: Any) -> Finding | None:
    """Whether every token has a row in the embedding, as the model's configuration has it; None without one."""
    rows = None if shape is None else getattr(shape.get_text_config(), "vocab_size", None)
    if rows is None:
        return None
    said, facts = f"{len(tokenizer):,} tokens, {rows:,} rows", {"tokens": len(tokenizer), "rows": rows}
    if len(tokenizer) <= rows:
        return Finding(_AREA, "embedding", "ok", said, facts=facts)
    fix = "a tokenizer of this model; model.add_tokens adds tokens together with their rows"
    return Finding(_AREA, "embedding", "error", f"{said}: some tokens have none", fix, facts)


def _chat(chat: Chat) -> Iterator[Finding]:
    try:
        chat.write(_TURN)
    except LossmithError as error:
        # Each of the questions below would fail by the same words.
        fix = "mend the template, or model.chat_template=FILE for another"
        yield Finding(_AREA, "chat template", "error", error.message, fix, {"got": str(error.got)})
        return
    yield _judged("end of turn", lambda: f"{end_of_turn(chat)!r} closes an answer", state="error")
    yield _judged("generation prompt", lambda: _generation_prompt(chat), state="warning")
    yield _judged("system role", lambda: _system_role(chat), state="warning")
    template = chat.template
    if "generation %}" not in template:
        said = "the template marks no generation: tools that mask by assistant marks would train on nothing"
        yield Finding(_AREA, "generation marks", "ok", f"{said}; lossmith finds answers by marks of its own")
    if "strftime_now" in template:
        said = "the template prints today's date, so a text would change from day to day"
        yield Finding(_AREA, "date", "ok", f"{said}; lossmith freezes it (data.template_date)")


def _judged(name: str, judge: Callable[[], str], *, state: State) -> Finding:
    try:
        return Finding(_AREA, name, "ok", judge())
    except LossmithError as error:
        return Finding(_AREA, name, state, error.message, error.fix, {"got": str(error.got)})


def _generation_prompt(chat: Chat) -> str:
    text, prompt = chat.write(_TURN), chat.write(_TURN[:1], for_generation=True)
    if text.startswith(prompt):
        return "the prompt is the beginning of the training text"
    raise InputError(
        "the generation prompt is not the beginning of the training text: records would be refused",
        got=f"{prompt[-80:]!r} beside {text[max(0, len(prompt) - 80) : len(prompt)]!r}",
        fix="data.template_kwargs={enable_thinking: false} mends many",
    )


def _system_role(chat: Chat) -> str:
    if _SYSTEM["content"] in chat.write([_SYSTEM, *_TURN]):
        return "written"
    raise InputError(
        "the template drops what the system says",
        got=f"a text without {_SYSTEM['content']!r}",
        fix="put that text at the head of the first user message",
    )
