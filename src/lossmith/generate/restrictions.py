"""The restrictions that a configuration asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossmith.config.generate import GenerateConfig
from lossmith.generate.banned import BannedPhrases
from lossmith.generate.restrict import Restriction
from lossmith.generate.vocabulary import vocabulary_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def restrictions_for(how: GenerateConfig, tokenizer: PreTrainedTokenizerBase) -> list[Restriction]:
    """Banned phrases, where there are any."""
    return [BannedPhrases(how.banned_phrases, vocabulary_of(tokenizer))] if how.banned_phrases else []
