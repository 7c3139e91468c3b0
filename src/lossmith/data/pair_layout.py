"""Sources and targets of an encoder-decoder, each tokenised as its tokenizer writes it, as one row of ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lossmith.data.layout import Layout
from lossmith.data.rendered import Rendered
from lossmith.data.tokenizer_facts import end_id, tokenizer_facts
from lossmith.spans.tokens import token_offsets

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def lay_out_pairs(rendered: Sequence[Rendered], tokenizer: PreTrainedTokenizerBase) -> list[Layout]:
    """Every record as ids of its source and, after them, of its target; all go through the tokenizer in two calls.

    Both have the special tokens that the tokenizer gives a source and a target. A target ends with EOS, whether the
    tokenizer writes it or not; all of it is supervised. A record without a target has its source alone. A source for
    which there is no token at all is EOS: an encoder must read something.
    """
    if not rendered:
        return []
    tokenizer_facts(tokenizer)  # refuses one that reports no offsets
    sources = _call(tokenizer, [record.prompt for record in rendered])
    targets = _call(tokenizer, text_target=[record.continuation for record in rendered])
    end = end_id(tokenizer)
    layouts = []
    for number, record in enumerate(rendered):
        source, edge = sources["input_ids"][number], len(record.prompt)
        pairs = list(sources["offset_mapping"][number])
        added = [part is None for part in sources.sequence_ids(number)]
        if not source:
            source, pairs, added = [end], [(edge, edge)], [True]
        ids = list(source)
        if record.continuation:
            target = list(targets["input_ids"][number])
            pairs += [(start + edge, end + edge) for start, end in targets["offset_mapping"][number]]
            if target[-1:] != [end]:
                target, pairs = [*target, end], [*pairs, (len(record.text), len(record.text))]
            ids, added = ids + target, added + [False] * len(target)
        supervised = [(len(source), len(ids))] if record.supervised else []
        layouts.append(
            Layout(ids, token_offsets(pairs), len(source), supervised, np.array(added, dtype=bool), apart=True)
        )
    return layouts


def _call(tokenizer: Any, texts: Sequence[str] | None = None, **more: Any) -> Any:
    return tokenizer(
        texts,
        **more,
        return_offsets_mapping=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
