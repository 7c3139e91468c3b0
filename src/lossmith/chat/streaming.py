"""Token ids, one after another, as pieces of text that can be shown at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lossmith.chat.asking import Tell

# What stands for bytes that are no whole character yet.
_UNFINISHED = "\ufffd"


class TextPieces:
    """Decodes an answer that grows, and tells what is new of its text.

    What may still change is held back: the last character where its bytes are not all there, and all that beams hold
    before one of them has won (`settled` is false). The pieces together are the whole text; where there is nothing new
    to show, an empty piece tells that the work goes on.
    """

    def __init__(self, tokenizer: Any, tell: Tell, *, settled: bool = True) -> None:
        self._tokenizer = tokenizer
        self._tell = tell
        self._settled = settled
        self._told = ""

    def __call__(self, ids: Sequence[int]) -> None:
        """The answer has these ids now."""
        text = ""
        if self._settled:
            text = self._tokenizer.decode(list(ids), skip_special_tokens=True).rstrip(_UNFINISHED)
        self._say(text if text.startswith(self._told) else self._told, len(ids))

    def end(self, text: str, tokens: int) -> None:
        """The answer is this text; where it is no longer what was told, it is told again on a line of its own."""
        if text.startswith(self._told):
            self._say(text, tokens)
        else:
            self._tell(f"\n{text}", tokens)

    def _say(self, text: str, tokens: int) -> None:
        new, self._told = text[len(self._told) :], text
        self._tell(new, tokens)
