"""A record as text, and the same record as token ids."""

from __future__ import annotations

from dataclasses import dataclass

from lossmith.spans.characters import CharSpan
from lossmith.spans.tokens import TokenSpan


@dataclass(frozen=True, slots=True)
class Rendered:
    """A record as text, with what counts in it.

    `prompt` is what generation continues ("" for plain text); `continuation` follows it and holds the end token where
    the chat template writes one. `supervised` and `spans` are characters of `prompt + continuation`. `target` is the
    answer alone, what metrics compare with. `append_eos`: the encoder adds the tokenizer's own first token and EOS,
    because no chat template has written them. `boundaries` are the characters, beside the end of the prompt, at
    which tokenisation starts anew: earlier answers of a conversation.
    """

    prompt: str
    continuation: str
    supervised: tuple[tuple[int, int], ...]
    spans: tuple[CharSpan, ...]
    target: str
    append_eos: bool
    boundaries: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        """Prompt and continuation."""
        return self.prompt + self.continuation


@dataclass(frozen=True, slots=True)
class HeadText:
    """A record as the text that a head reads, or a pair of texts; `spans` are characters of both joined as they are.

    `target` is the class's name, names joined where several hold.
    """

    first: str
    pair: str | None
    spans: tuple[CharSpan, ...]
    target: str

    @property
    def text(self) -> str:
        """Both texts, joined as they are."""
        return self.first + (self.pair or "")

    @property
    def supervised(self) -> tuple[tuple[int, int], ...]:
        """None: a head answers."""
        return ()

    @property
    def append_eos(self) -> bool:
        """No: the text ends as the tokenizer ends it."""
        return False

    @property
    def prompt(self) -> str:
        """The text for people and for baselines, its pair on a line of its own."""
        return self.first if self.pair is None else f"{self.first}\n{self.pair}"


@dataclass(frozen=True, slots=True)
class Encoded:
    """A record as token ids, with what counts in it.

    `input_ids[:prompt_length]` is what generation continues. `supervised` are the token intervals that are labels, end
    token included; `spans` the named ones, the outer before the inner. `prompt` and `target` are the whole texts, also
    where tokens were cut. `straddles` counts the tokens that reach over the edge of a span. `truncation` says what was
    done to a record that is too long: "cut_prompt", "cut_answer", "dropped" (all ids are still here, to be measured;
    the record must not be used) or, when predicting, "cut_both" or "prompt_too_long" (no id is left). Where a head
    reads the record, all ids are the prompt, and `pair_start` is the first token of the second of two texts.
    """

    input_ids: list[int]
    prompt_length: int
    supervised: list[tuple[int, int]]
    spans: list[TokenSpan]
    prompt: str
    target: str
    straddles: int
    truncation: str | None
    pair_start: int | None = None

    @property
    def prompt_is_cut(self) -> bool:
        """Whether tokens of the prompt are missing."""
        return self.truncation in ("cut_prompt", "cut_both")

    @property
    def answer_is_cut(self) -> bool:
        """Whether tokens of the answer are missing."""
        return self.truncation in ("cut_answer", "cut_both")


@dataclass(frozen=True, slots=True)
class Chunked:
    """A record of the retrieval task: its document, whole, and the chunks in it as half-open character intervals.

    `pair` is the text of the criterion that the document is judged by, where there is one.
    """

    prompt: str
    pair: str | None
    target: str
    chunks: list[tuple[int, int]]

    @property
    def judged(self) -> str:
        """Document and criterion, which the label is found from."""
        return self.prompt if self.pair is None else f"{self.prompt}\n{self.pair}"
