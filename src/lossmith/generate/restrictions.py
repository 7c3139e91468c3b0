"""The restrictions that a configuration asks for, ready for a tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lossmith.config.generate import GenerateConfig
from lossmith.errors import ConfigError
from lossmith.generate.banned import BannedPhrases
from lossmith.generate.constrained import KeepsToSchema
from lossmith.generate.restrict import Restriction
from lossmith.generate.vocabulary import vocabulary_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def restrictions_for(
    how: GenerateConfig, tokenizer: PreTrainedTokenizerBase, *, schema: Mapping[str, Any] | None = None
) -> list[Restriction]:
    """Banned phrases, where there are any, and with `constrained` the `schema` that answers keep to.

    Raises ConfigError for `constrained` without a schema, and for a schema that cannot constrain.
    """
    found: list[Restriction] = []
    if how.banned_phrases:
        found.append(BannedPhrases(how.banned_phrases, vocabulary_of(tokenizer)))
    if how.constrained:
        if schema is None:
            raise ConfigError("generate.constrained needs a schema that answers keep to", fix="data.answer_schema=FILE")
        found.append(KeepsToSchema(schema, tokenizer))
    return found
