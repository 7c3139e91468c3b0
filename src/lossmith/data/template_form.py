"""`data.template` read: which of the forms it is, its texts compiled."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lossmith.answer_schema import shaped_answer
from lossmith.data.environment import Part, compile_part
from lossmith.errors import ConfigError, nearest

_KEYS = ("prompt", "answer", "messages", "text")
_FORMS = "{prompt, answer}, {messages: [{role, content}, ...]}, {text}, or a file with one of these"
_HEAD_FORMS = "{text}, {text, pair}, or a file with one of these"


@dataclass(frozen=True)
class PromptAnswer:
    """Two texts, joined as they are."""

    prompt: Part
    answer: Part

    @property
    def parts(self) -> tuple[Part, ...]:
        """Its texts."""
        return (self.prompt, self.answer)


@dataclass(frozen=True)
class PlainText:
    """One text, all of it learned."""

    text: Part

    @property
    def parts(self) -> tuple[Part, ...]:
        """Its text."""
        return (self.text,)


@dataclass(frozen=True)
class ChatMessages:
    """Messages as written in the configuration: for each its role and, by key, its texts; the last is the answer."""

    messages: tuple[tuple[str, Mapping[str, Part]], ...]

    @property
    def parts(self) -> tuple[Part, ...]:
        """Its texts, in order."""
        return tuple(part for _, texts in self.messages for part in texts.values())


@dataclass(frozen=True)
class OwnMessages:
    """Every record brings messages of its own (`data.messages`)."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """No text of the configuration."""
        return ()


Form = PromptAnswer | PlainText | ChatMessages | OwnMessages


def read_form(
    template: Mapping[str, Any] | str | Path | None,
    *,
    own_messages: bool = False,
    schema: Mapping[str, Any] | None = None,
) -> Form:
    """The form that `data.template` has.

    A text is the path of a file: YAML or JSON with one of the forms, anything else (.jinja, .txt) as plain text. Where
    the answer is left out, it is the one that a `schema` of answers shapes.
    Raises ConfigError for an unknown key, a missing half, a file that is not there, messages without an answer.

    >>> read_form({"text": "{{ abstract }}"}).parts[0].label
    'text'
    """
    if template is None:
        if not own_messages:
            raise ConfigError("data.template is missing", got="null", expected=_FORMS)
        return OwnMessages()
    if own_messages:
        raise ConfigError(
            "data.messages and data.template both say what a record's text is",
            fix="leave one of them out: data.template=null where a column holds the messages",
        )
    if isinstance(template, (str, Path)):
        template = read_template_file(Path(template))
    if not isinstance(template, Mapping):
        raise ConfigError("data.template is none of its forms", got=repr(template)[:80], expected=_FORMS)
    if schema is not None:
        template = _answered(template, schema)
    keys = {str(key) for key in template}
    for key in sorted(keys - set(_KEYS)):
        near = nearest(key, _KEYS)
        raise ConfigError(
            f"unknown key '{key}' in data.template",
            got=key,
            expected=_FORMS,
            fix=f"did you mean '{near}'?" if near else None,
        )
    if keys == {"prompt", "answer"}:
        return PromptAnswer(compile_part(template["prompt"], "prompt"), compile_part(template["answer"], "answer"))
    if keys == {"text"}:
        return PlainText(compile_part(template["text"], "text"))
    if keys == {"messages"}:
        return ChatMessages(tuple(_read_messages(template["messages"])))
    raise ConfigError(
        "data.template mixes forms or lacks a half", got=", ".join(sorted(keys)) or "nothing", expected=_FORMS
    )


def _answered(template: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The template with the answer of a schema, where it has none of its own."""
    if set(template) == {"prompt"}:
        return {**template, "answer": shaped_answer(schema)}
    messages = template.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    if isinstance(messages, list) and isinstance(last, Mapping) and last.get("role") != "assistant":
        return {**template, "messages": [*messages, {"role": "assistant", "content": shaped_answer(schema)}]}
    return template


def read_head_form(template: Mapping[str, Any] | str | Path | None, *, own_messages: bool = False) -> tuple[Part, ...]:
    """The text, or the text and its pair, of a classification by a head.

    A file is read as `read_form` reads one. Raises ConfigError for any other form.

    >>> [part.label for part in read_head_form({"text": "{{ post }}", "pair": "{{ criterion }}"})]
    ['text', 'pair']
    """
    if template is None:
        raise ConfigError(
            "data.template is missing",
            got="data.messages" if own_messages else "null",
            expected=_HEAD_FORMS,
            fix='a head reads a text: data.template={text: "{{ text }}"}',
        )
    if isinstance(template, (str, Path)):
        template = read_template_file(Path(template))
    if not isinstance(template, Mapping):
        raise ConfigError("data.template is none of its forms", got=repr(template)[:80], expected=_HEAD_FORMS)
    keys = [str(key) for key in template]
    if sorted(keys) not in (["text"], ["pair", "text"]):
        raise ConfigError(
            "data.template is no text that a head could read",
            got=", ".join(keys) or "nothing",
            expected=_HEAD_FORMS,
            fix="task.method=label_words or json_answer reads prompts and answers"
            if set(keys) & {"prompt", "answer", "messages"}
            else None,
        )
    return tuple(compile_part(template[key], key) for key in ("text", "pair") if key in template)


def _read_messages(messages: Any) -> Iterable[tuple[str, Mapping[str, Part]]]:
    if not isinstance(messages, (list, tuple)) or not messages:
        raise ConfigError(
            "messages of data.template are no list", got=repr(messages)[:80], expected="[{role, content}, ...]"
        )
    read = []
    for index, message in enumerate(messages):
        label = f"messages[{index}]"
        if not isinstance(message, Mapping) or not {"role", "content"} <= set(message):
            raise ConfigError(f"{label} is no message", got=repr(message)[:80], expected="{role, content}")
        role = message["role"]
        if not isinstance(role, str) or not role:
            raise ConfigError(f"{label} has no role", got=repr(role), expected="system, user or assistant")
        texts = {key: compile_part(text, f"{label}.{key}") for key, text in message.items() if key != "role"}
        read.append((role, texts))
    if read[-1][0] != "assistant":
        raise ConfigError(
            "the last message of data.template is not the answer",
            got=f"role {read[-1][0]}",
            expected="role assistant, whose content is what the model learns to write",
        )
    return read


def read_template_file(path: Path) -> Any:
    """What a file holds that `data.template` names: YAML or JSON as it is, anything else as plain text.

    Raises ConfigError where it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(
            "the template file cannot be read",
            got=f"{str(path)[:120]} ({error.strerror if isinstance(error, OSError) else error})",
            expected="a path, relative to the working folder",
            fix="a template written in place is data.template: {text: ...} or {prompt: ..., answer: ...}",
        ) from error
    suffix = path.suffix.lower()
    if suffix not in (".yaml", ".yml", ".json"):
        return {"text": text}
    try:
        return json.loads(text) if suffix == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"the template file {path} is broken: {error}", expected=_FORMS) from error
