"""The template of the retrieval task: records in, a document cut to chunks out, beside it the text of a criterion."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lossmith.config.data import ChunkConfig, DataConfig
from lossmith.data.chunks import find_chunks
from lossmith.data.environment import Part
from lossmith.data.labelling import NAME
from lossmith.data.record_text import BareRecord, RecordLike, check_unicode
from lossmith.data.rejection import RecordError
from lossmith.data.rendered import Chunked, HeadText
from lossmith.data.template_form import read_head_form
from lossmith.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_HASH_VERSION = 1  # raised when the same configuration comes to mean other chunks


@dataclass(frozen=True)
class RetrievalTemplate:
    """How a record becomes a document and its chunks; nothing is cut off and nothing is supervised.

    `parts` are those of `HeadTemplate`. A document may be empty, a criterion may not: the one has no chunks, the other
    nothing to be judged by.

    >>> lines = ChunkConfig(by="lines", size=1, overlap=0)
    >>> template = RetrievalTemplate(read_head_form({"text": "{{ terms }}"}), lines)
    >>> [found] = template.cut([template.render({"terms": "Fees apply.\\nNo refunds."}, None)], None)
    >>> found.chunks
    [(0, 11), (12, 23)]
    """

    parts: tuple[Part, ...]
    chunks: ChunkConfig

    @classmethod
    def from_config(cls, data: DataConfig) -> RetrievalTemplate:
        """The template of a `data` group; raises ConfigError, naming the key, for what cannot be carried out."""
        parts = read_head_form(data.template, own_messages=data.messages is not None)
        if spans := [*data.spans, *sorted(frozenset().union(*(part.spans for part in parts)))]:
            raise ConfigError(
                "no loss of the retrieval task reads a span",
                got=f"the span '{spans[0]}'",
                expected="a template without span tags, and no data.spans",
            )
        return cls(parts, data.chunks)

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
        """Those of the document alone: a criterion is the same for many records."""
        return self.parts[0].variables

    @property
    def span_names(self) -> frozenset[str]:
        """None."""
        return frozenset()

    def render(self, record: RecordLike | Mapping[str, Any], tokenizer: PreTrainedTokenizerBase | None) -> HeadText:
        """The record's document and criterion; the target is its label where it has one.

        Raises RecordError for a record that cannot be used: a field is missing, a criterion is empty.
        """
        record = BareRecord(record) if isinstance(record, Mapping) else record
        texts = [part.render(record.fields) for part in self.parts]
        check_unicode(texts)
        first, pair = (*texts, None)[:2]
        if pair is not None and not pair.strip():
            raise RecordError("the pair is empty", got=repr(pair), expected="the text of a criterion")
        assert first is not None, "a form has a text"
        return HeadText(first, pair, (), str(record.fields.get(NAME, "")))

    def cut(self, texts: Sequence[HeadText], tokenizer: PreTrainedTokenizerBase | None) -> list[Chunked]:
        """Rendered records with their chunks, as `find_chunks` gives them; no document is too long."""
        return [
            Chunked(text.first, text.pair, text.target, find_chunks(text.first, self.chunks, tokenizer=tokenizer))
            for text in texts
        ]

    def training_text(self, record: RecordLike | Mapping[str, Any]) -> str:
        """Document and criterion in one text."""
        return self.render(record, None).prompt

    def written(
        self, record: RecordLike | Mapping[str, Any], tokenizer: PreTrainedTokenizerBase | None
    ) -> dict[str, Any]:
        """The record as other tools read it: text, its chunks, and pair where there is one.

        Raises RecordError as `render` does.
        """
        found = self.render(record, tokenizer)
        chunks = [
            {"start": start, "end": end, "text": found.first[start:end]}
            for start, end in find_chunks(found.first, self.chunks, tokenizer=tokenizer)
        ]
        return {"text": found.first, **({} if found.pair is None else {"pair": found.pair}), "chunks": chunks}

    def stop_ids(self, tokenizer: PreTrainedTokenizerBase | None) -> list[int]:
        """None: nothing is generated."""
        return []

    def doubts(self, tokenizer: PreTrainedTokenizerBase | None) -> list[str]:
        """None."""
        return []

    def hash(self, tokenizer: PreTrainedTokenizerBase | None) -> str:
        """16 hexadecimal digits that change with every document or chunk that would come out otherwise."""
        told = {
            "version": _HASH_VERSION,
            "form": type(self).__name__,
            "texts": [(part.label, part.text) for part in self.parts],
            "chunks": self.chunks.model_dump(mode="json"),
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
