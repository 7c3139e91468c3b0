"""Messages that a record brings itself, checked for shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lossmith.data.rejection import RecordError


def check_messages(value: object) -> list[dict[str, Any]]:
    """A copy of a list of messages, each a mapping with `role` and `content` in text; other keys stay.

    Raises RecordError for anything else.

    >>> check_messages([{"role": "user", "content": "Salt?"}])
    [{'role': 'user', 'content': 'Salt?'}]
    """
    if not isinstance(value, (list, tuple)) or not value:
        raise RecordError("the record has no messages", got=repr(value)[:80], expected="[{role, content}, ...]")
    messages = []
    for index, message in enumerate(value):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise RecordError("a message has no role", got=f"messages[{index}]", expected="{role, content}")
        if not isinstance(message.get("content"), str):
            raise RecordError(
                "a message has no text",
                got=f"messages[{index}].content is {type(message.get('content')).__name__}",
                expected="a string; tool calls and images are not supported",
            )
        messages.append(dict(message))
    return messages
