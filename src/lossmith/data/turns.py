"""The turns of a record, from the template or from its own messages, with marks around the answers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from lossmith.data.messages import check_messages
from lossmith.data.record_text import RecordLike, check_unicode, special_token_error, write_parts
from lossmith.data.rejection import RecordError
from lossmith.data.template_form import ChatMessages, OwnMessages
from lossmith.spans.markers import Markers

ANSWER = "answer"  # the mark around an answer; no tag can take this name


@dataclass(frozen=True)
class Conversation:
    """The messages of a record, twice: as they are, and with marks around spans and around the answers that count.

    `answers` are those answers as (index of the message, event of its marks).
    """

    plain: list[dict[str, Any]]
    marked: list[dict[str, Any]]
    markers: Markers
    answers: list[tuple[int, int]]


def write_messages(
    form: ChatMessages | OwnMessages,
    record: RecordLike,
    *,
    forbidden: re.Pattern[str] | None,
    turns: Literal["all", "last"],
    for_generation: bool,
) -> Conversation:
    """The conversation of a record; for generation, without the answer at its end.

    Raises RecordError where a record's own messages do not end in an answer, or an answer is empty.
    """
    if isinstance(form, ChatMessages):
        plain, marked, markers = _from_template(form, record, forbidden=forbidden, for_generation=for_generation)
    else:
        plain = read_messages(record, forbidden=forbidden)
        _fit_end(plain, for_generation)
        marked = [dict(message) for message in plain]
        markers = Markers(text for message in plain for text in message.values() if isinstance(text, str))
    indices = [index for index, message in enumerate(plain) if message["role"] == "assistant"]
    if turns == "last":
        indices = [] if for_generation else indices[-1:]
    answers = []
    for index in indices:
        if not plain[index]["content"].strip():
            raise RecordError("the answer is empty", got=f"messages[{index}]", expected="text to learn")
        answers.append((index, markers.events))
        marked[index]["content"] = markers.wrap(ANSWER, marked[index]["content"])
    return Conversation(plain, marked, markers, answers)


def read_messages(record: RecordLike, *, forbidden: re.Pattern[str] | None) -> list[dict[str, Any]]:
    """A copy of the record's own messages; raises RecordError for what is no conversation in text."""
    messages = check_messages(record.messages)
    for index, message in enumerate(messages):
        check_unicode([message["content"]])
        if forbidden is not None and (found := forbidden.search(message["content"])):
            raise special_token_error(f"messages[{index}]", found.group())
    return messages


def _from_template(
    form: ChatMessages, record: RecordLike, *, forbidden: re.Pattern[str] | None, for_generation: bool
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], Markers]:
    messages = form.messages[:-1] if for_generation else form.messages
    parts = [part for _, texts in messages for part in texts.values()]
    written = write_parts(record, parts, forbidden=forbidden)
    for part, plain, marked in zip(parts, written.plain, written.marked, strict=True):
        if marked is not plain:
            written.markers.read(marked, plain, where=f"template '{part.label}'")  # raises naming this text

    def put(texts: list[str]) -> list[dict[str, Any]]:
        left = iter(texts)
        return [{"role": role, **{key: next(left) for key in keys}} for role, keys in messages]

    return put(written.plain), put(written.marked), written.markers


def _fit_end(messages: list[dict[str, Any]], for_generation: bool) -> None:
    answered = messages[-1]["role"] == "assistant"
    if not for_generation and not answered:
        raise RecordError(
            "the messages do not end in an answer",
            got=f"a last message of role {messages[-1]['role']}",
            expected="role assistant",
        )
    if for_generation and answered:
        messages.pop()
        if not messages:
            raise RecordError("the messages hold nothing before the answer", expected="a question")
