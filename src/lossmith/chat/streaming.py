"""Token ids, one after another, as pieces of text that can be shown at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

# What stands for bytes that are no whole character yet.
_UNFINISHED = "\ufffd"


class TextPieces:
    """Decodes an answer that grows, and tells what is new of its text.

    What may still change is held back: the last character where its bytes are not all there. The pieces together are
    the whole text.
    """

    def __init__(self, tokenizer: Any, tell: Callable[[str], None]) -> None:
        self._tokenizer = tokenizer
        self._tell = tell
        self._told = ""

    def __call__(self, ids: Sequence[int]) -> None:
        """The answer has these ids now."""
        text = self._tokenizer.decode(list(ids), skip_special_tokens=True).rstrip(_UNFINISHED)
        if text.startswith(self._told):
            self._say(text)

    def end(self, text: str) -> None:
        """The answer is this text; where it is no longer what was told, it is told again on a line of its own."""
        if text.startswith(self._told):
            self._say(text)
        else:
            self._tell(f"\n{text}")

    def _say(self, text: str) -> None:
        if len(text) > len(self._told):
            self._tell(text[len(self._told) :])
            self._told = text
