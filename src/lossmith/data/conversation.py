"""Messages to text through a chat template, with the places of the answers and of the marked spans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lossmith.data.chat_template import Chat, no_end_token
from lossmith.data.rendered import Rendered
from lossmith.data.turns import ANSWER, Conversation
from lossmith.errors import DataError
from lossmith.spans.characters import CharSpan, number_items
from lossmith.spans.markers import Mark, Markers

_SHOWN = 160
_THOUGHTS = "thoughts inside content are dropped or moved by some templates: give them as reasoning_content"


def render_conversation(conversation: Conversation, chat: Chat) -> Rendered:
    """The training text of a conversation whose last message is the answer.

    The prompt is the same messages without the last, written for generation; it must be the beginning of the training
    text. Supervised: from there through the first end token after the answer. What a chat template writes after that
    (a line break, as a rule) is left out: no answer depends on it. Marked earlier answers are supervised too, from
    where generation would have begun, or, where the template writes a past turn otherwise than a new one (without its
    empty thoughts), from their own first character.

    Raises DataError, showing the texts, for a prompt that is no beginning, a turn without an end token, and a template
    that drops, repeats or rewrites what is marked.
    """
    text = chat.write(conversation.plain)
    prompt = chat.write(conversation.plain[:-1], for_generation=True)
    if not text.startswith(prompt):
        raise _no_prefix(prompt, text)
    marks = _read(conversation, text, chat)
    answers = _find_answers(conversation.answers, marks, text)
    target = answers[-1]
    if target.start < len(prompt):
        raise DataError(
            "the generation prompt of the chat template already holds the beginning of the answer",
            got=f"prompt ending in {prompt[-_SHOWN:]!r}",
            expected=f"a prompt that ends before {text[target.start : target.start + _SHOWN]!r}",
            fix="set data.template_kwargs (enable_thinking: false), or give thoughts as reasoning_content",
        )
    closed = chat.find_end(text, target.end)
    if closed is None:
        raise no_end_token(text, target.end)
    supervised = [(len(prompt), closed.end())]
    if len(answers) > 1:
        earlier = _earlier_turns(conversation, answers[:-1], text, chat=chat)
        ends = {closed.group(), chat.tokenizer.eos_token}
        limits = [start for start, _ in earlier[1:]] + [len(prompt)]
        closings = [
            _closing(chat, text, (content_end, limit), ends=ends)
            for (_, content_end), limit in zip(earlier, limits, strict=True)
        ]
        supervised = [(start, end) for (start, _), end in zip(earlier, closings, strict=True)] + supervised
    named = [(m.name, m.start, m.end) for m in marks if m.name != ANSWER and m.end <= closed.end()]
    return Rendered(
        prompt=prompt,
        continuation=text[len(prompt) : closed.end()],
        supervised=tuple(supervised),
        spans=number_items(named),
        target=text[target.start : target.end],
        append_eos=False,
        boundaries=tuple(start for start, _ in supervised[:-1]),
    )


def render_prompt(conversation: Conversation, chat: Chat) -> Rendered:
    """The text to generate from, for messages that end before the answer."""
    prompt = chat.write(conversation.plain, for_generation=True)
    boundaries: tuple[int, ...] = ()
    spans: tuple[CharSpan, ...] = ()
    if conversation.markers.events:
        marks = _read(conversation, prompt, chat, for_generation=True)
        spans = number_items((mark.name, mark.start, mark.end) for mark in marks if mark.name != ANSWER)
        answers = _find_answers(conversation.answers, marks, prompt)
        boundaries = tuple(start for start, _ in _earlier_turns(conversation, answers, prompt, chat=chat))
    return Rendered(prompt, "", (), spans, "", append_eos=False, boundaries=boundaries)


def _read(conversation: Conversation, truth: str, chat: Chat, *, for_generation: bool = False) -> list[Mark]:
    """The marks where the chat template has carried them; one that it lost is an error."""
    markers = conversation.markers
    written = chat.write(conversation.marked, for_generation=for_generation)
    marks = markers.read(written, truth, where="the chat template", fix=_THOUGHTS)
    sent: set[int] = set()
    for message in conversation.marked:
        sent |= markers.inside(message["content"])
    if lost := sent - {mark.event for mark in marks}:
        name = markers.name(min(lost))
        raise DataError(
            f"the chat template drops text that span '{name}' marks",
            got=f"a training text of {len(truth)} characters without that span",
            expected="every marked text in the training text",
            fix=_THOUGHTS,
        )
    return marks


def _find_answers(events: Sequence[tuple[int, int]], marks: Sequence[Mark], text: str) -> list[Mark]:
    found = []
    for index, event in events:
        own = [mark for mark in marks if mark.event == event]
        if len(own) != 1:
            raise DataError(
                f"the chat template writes the answer of message {index} {len(own)} times",
                got=text[-_SHOWN:],
                expected="every answer once",
            )
        found.append(own[0])
    return found


def _earlier_turns(
    conversation: Conversation, answers: Sequence[Mark], text: str, *, chat: Chat
) -> list[tuple[int, int]]:
    """For each earlier answer, where generation would have begun and where its own text ends."""
    turns = []
    for (index, _), answer in zip(conversation.answers, answers, strict=False):
        before = chat.write(conversation.plain[:index], for_generation=True)
        begins = text.startswith(before) and len(before) <= answer.start
        turns.append((len(before) if begins else answer.start, answer.end))
    return turns


def _closing(chat: Chat, text: str, between: tuple[int, int], *, ends: set[str | None]) -> int:
    """Where the end token of an earlier answer ends; it stands between that answer and the next."""
    start, limit = between
    found = chat.find_end(text, start, limit)
    if found is None or found.group() not in ends:
        raise DataError(
            "an earlier answer of the conversation is not closed by the end token of the last one",
            got=f"{text[start:limit][:_SHOWN]!r} after an earlier answer",
            expected=" or ".join(repr(end) for end in sorted(end for end in ends if end)),
            fix="set data.turns: last, so that the last answer alone is learned",
        )
    return found.end()


def find_roles(plain: Sequence[dict[str, Any]], text: str, chat: Chat) -> list[tuple[str, int, int]]:
    """Where the content of every message stands in the training text, as (role, start, end), for showing it.

    Empty where the chat template does not carry marks around all of them: some look into what a user says.
    """
    markers = Markers([text])
    marked = [{**message, "content": markers.wrap(message["role"], message["content"])} for message in plain]
    try:
        marks = markers.read(chat.write(marked), text, where="the chat template")
    except DataError:
        return []
    return [(mark.name, mark.start, mark.end) for mark in marks]


def _no_prefix(prompt: str, text: str) -> DataError:
    at = next((i for i, (a, b) in enumerate(zip(prompt, text, strict=False)) if a != b), len(text))
    start = max(0, at - _SHOWN // 2)
    return DataError(
        "the generation prompt of the chat template is not the beginning of its training text, "
        "so a model would be asked something it was never trained on",
        got=f"prompt   ...{prompt[start : at + _SHOWN]!r}",
        expected=f"training ...{text[start : at + _SHOWN]!r} (they part at character {at})",
        fix="set data.template_kwargs (for many models enable_thinking: false), or another tokenizer",
    )
