"""The template of a classification by a head: records in, one text or a pair of texts out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lossmith.config.data import Truncation
from lossmith.data.environment import Part
from lossmith.data.head_inputs import encode_inputs
from lossmith.data.labelling import NAME
from lossmith.data.record_text import BareRecord, RecordLike, check_unicode, write_parts
from lossmith.data.rejection import RecordError
from lossmith.data.rendered import Encoded, HeadText
from lossmith.data.template_form import read_head_form
from lossmith.data.tokenizer_facts import tokenizer_facts
from lossmith.spans.characters import check_name, number_items

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from lossmith.data.template import TemplateConfig

_HASH_VERSION = 1  # raised when the same configuration comes to mean another text


@dataclass(frozen=True)
class HeadTemplate:
    """How a record becomes what a head reads; nothing of it is generated, so nothing is supervised.

    `parts` are the text, or the text and its pair. The other fields are those of `Template`.

    >>> template = HeadTemplate(read_head_form({"text": "{{ post }}", "pair": "{{ criterion }}"}))
    >>> sorted(template.variables)
    ['criterion', 'post']
    """

    parts: tuple[Part, ...]
    field_spans: frozenset[str] = frozenset()
    keep_special_tokens: bool = False

    @classmethod
    def from_config(cls, data: TemplateConfig) -> HeadTemplate:
        """The template of a `data` group; raises ConfigError, naming the key, for what cannot be carried out."""
        return cls(
            parts=read_head_form(data.template, own_messages=data.messages is not None),
            field_spans=frozenset(check_name(name, where="data.spans") for name in data.spans),
            keep_special_tokens=data.special_tokens_in_text == "keep",
        )

    @property
    def variables(self) -> frozenset[str]:
        """Names of the fields that the template reads."""
        return frozenset().union(*(part.variables for part in self.parts))

    @property
    def prompt_variables(self) -> frozenset[str]:
        """The same: all of it is what the label is found from."""
        return self.variables

    @property
    def judged_variables(self) -> frozenset[str]:
        """Those of the text alone: a pair is what it is judged by, the same for many records."""
        return self.parts[0].variables

    @property
    def span_names(self) -> frozenset[str]:
        """Names that the template or `data.spans` can mark."""
        return self.field_spans.union(*(part.spans for part in self.parts))

    def render(self, record: RecordLike | Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> HeadText:
        """The record's texts with their spans; the target is its label where it has one.

        Raises RecordError for a record that cannot be used: a field is missing or holds a special token, a text is
        empty.
        """
        record = BareRecord(record) if isinstance(record, Mapping) else record
        forbidden = None if self.keep_special_tokens else tokenizer_facts(tokenizer).special
        written = write_parts(record, self.parts, forbidden=forbidden)
        found, at = [], 0
        for part, plain, marked in zip(self.parts, written.plain, written.marked, strict=True):
            if not plain.strip():
                raise RecordError(f"the {part.label} is empty", got=repr(plain), expected="text to classify")
            marks = written.markers.read(marked, plain, where=f"template '{part.label}'")
            found += [(mark.name, at + mark.start, at + mark.end) for mark in marks]
            at += len(plain)
        first, pair = (*written.plain, None)[:2]
        assert first is not None, "a form has a text"
        return HeadText(first, pair, number_items(found), str(record.fields.get(NAME, "")))

    def encode(
        self,
        texts: Sequence[HeadText],
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_length: int,
        truncation: Truncation,
        predicting: bool,
    ) -> list[Encoded | RecordError]:
        """Rendered records as token ids; see `encode_inputs`."""
        return encode_inputs(texts, tokenizer, max_length=max_length, truncation=truncation, predicting=predicting)

    def training_text(self, record: RecordLike | Mapping[str, Any]) -> str:
        """The text that a new tokenizer learns from."""
        record = BareRecord(record) if isinstance(record, Mapping) else record
        texts = [part.render(record.fields) for part in self.parts]
        check_unicode(texts)
        return "\n".join(texts)

    def written(self, record: RecordLike | Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        """The record as other tools read it: text, and pair where there is one; raises RecordError as `render` does."""
        found = self.render(record, tokenizer)
        return {"text": found.first, **({} if found.pair is None else {"pair": found.pair})}

    def stop_ids(self, tokenizer: PreTrainedTokenizerBase) -> list[int]:
        """None: nothing is generated."""
        return []

    def doubts(self, tokenizer: PreTrainedTokenizerBase) -> list[str]:
        """Sentences on a pair that runs into its text, because the tokenizer writes nothing between two texts."""
        if len(self.parts) < 2 or tokenizer.num_special_tokens_to_add(pair=True):
            return []
        return [
            "this tokenizer puts nothing between a text and its pair, so the two run together; write both into one "
            'template, data.template={text: "{{ text }}\\n{{ pair }}"}, or begin the pair with a line break'
        ]

    def roles(
        self, record: RecordLike | Mapping[str, Any], tokenizer: PreTrainedTokenizerBase
    ) -> list[tuple[str, int, int]]:
        """Where text and pair stand in the joined text, as (role, start, end)."""
        text = self.render(record, tokenizer)
        edge = len(text.first)
        return [("text", 0, edge), *([("pair", edge, len(text.text))] if text.pair is not None else [])]

    def hash(self, tokenizer: PreTrainedTokenizerBase) -> str:
        """16 hexadecimal digits that change with every text this template would write, the same in every process."""
        told = {
            "version": _HASH_VERSION,
            "form": type(self).__name__,
            "texts": [(part.label, part.text) for part in self.parts],
            "special_tokens": [tokenizer.cls_token, tokenizer.sep_token, tokenizer.bos_token, tokenizer.eos_token],
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
