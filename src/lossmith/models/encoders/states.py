"""Last states of a transformers model: pooled to one vector a text, or one for each of its tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from lossmith.config.model import ModelConfig
from lossmith.errors import InputError
from lossmith.models.added_tokens import AddedTokens
from lossmith.models.base_tokenizer import raw_tokenizer, require_pad_token
from lossmith.models.encoders.base_files import BaseFiles
from lossmith.models.encoders.batching import as_limit, batches
from lossmith.models.encoders.encoder import ENCODER_FILE, Encoded
from lossmith.models.hidden import family_of
from lossmith.models.pooled import POOLINGS
from lossmith.models.precision import Precision
from lossmith.models.pretrained import BACKBONE, check_rows, load_pretrained
from lossmith.models.source import Source
from lossmith.runs import write_json

KIND = "transformers"
TOKENS = "tokens"
_VERSION = 1  # raised when the same files come to give other vectors


@dataclass(frozen=True)
class StateEncoder:
    """The last layer's states of a transformers model of texts.

    pooling: mean, cls or last for one vector a text; tokens for one for each token that stands for characters of it.
    inside: the folder of the model within its files, as sentence encoders may have one.
    """

    files: BaseFiles
    precision: Precision
    pooling: Literal["mean", "cls", "last", "tokens"]
    inside: str = ""
    trust_remote_code: bool = False

    @property
    def per_token(self) -> bool:
        """Whether each token has a vector."""
        return self.pooling == TOKENS

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the files, the pooling and the number format."""
        facts = f"{KIND} {_VERSION} {self.files.digest} {self.pooling} {self.precision.name}"
        return hashlib.sha256(facts.encode()).hexdigest()

    @cached_property
    def width(self) -> int:
        """Numbers in a state. Raises InputError where the base is no model of hidden states of texts."""
        found = getattr(self._shape, "hidden_size", None)
        if found is None:
            raise InputError(
                f"{self.files.name} has no hidden states of texts",
                got=f"a {type(self._shape).__name__} without hidden_size",
                expected="an encoder or a decoder of texts",
            )
        return int(found)

    @cached_property
    def longest(self) -> int | None:
        """Tokens of a text that are read, special ones included."""
        limits = (
            as_limit(self.files.settings(self.inside, "tokenizer_config.json").get("model_max_length")),
            as_limit(getattr(self._shape, "max_position_embeddings", None)),
        )
        return min((limit for limit in limits if limit is not None), default=None)

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """The vectors of each text."""
        tokenizer = self._tokenizer
        inputs = tokenizer(
            list(texts),
            truncation=self.longest is not None,
            max_length=self.longest,
            return_special_tokens_mask=self.per_token,
            return_offsets_mapping=self.per_token,
            return_overflowing_tokens=False,
        )
        ids = inputs["input_ids"]
        found: dict[int, np.ndarray] = {}
        for batch in batches([len(own) for own in ids], self.precision.device):
            found.update(zip(batch, self._states([ids[number] for number in batch]), strict=True))
        cut = self._cut(texts, ids)
        if not self.per_token:
            return [Encoded.whole(text, found[n], cut=cut[n]) for n, text in enumerate(texts)]
        spans = [
            _spans(text, offsets, special)
            for text, offsets, special in zip(
                texts, inputs["offset_mapping"], inputs["special_tokens_mask"], strict=True
            )
        ]
        return [Encoded(found[n][kept], own, cut[n]) for n, (kept, own) in enumerate(spans)]

    def save(self, folder: Path) -> None:
        """Write which files it is; they stay where they are."""
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / ENCODER_FILE, {"schema": 1, **self.about()})

    def about(self) -> dict[str, Any]:
        """Kind, base, sizes and fingerprints."""
        return {
            "kind": KIND,
            "base": self.files.name,
            "revision": self.files.revision,
            "pooling": self.pooling,
            "width": self.width,
            "longest": self.longest,
            "files": self.files.digest,
            "fingerprint": self.fingerprint,
        }

    @property
    def _folder(self) -> Path:
        return self.files.folder / self.inside

    @property
    def _config(self) -> ModelConfig:
        return ModelConfig(base=str(self._folder), trust_remote_code=self.trust_remote_code)

    @cached_property
    def _shape(self) -> Any:
        from transformers import AutoConfig

        try:
            # A folder that was found already.
            shape = AutoConfig.from_pretrained(self._folder, trust_remote_code=self.trust_remote_code)  # nosec B615
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"{self.files.name} is no model that transformers knows: {str(error).strip().splitlines()[0]}",
                got=self.files.name,
                expected="a folder or hub name with the config.json of an encoder or a decoder",
            ) from error
        if getattr(shape, "is_encoder_decoder", False):
            raise InputError(
                f"{self.files.name} is an encoder with a decoder, whose states depend on what it writes",
                got=shape.model_type,
                expected="an encoder or a decoder alone, or a sentence-transformers model",
            )
        return shape.get_text_config()

    @cached_property
    def _tokenizer(self) -> Any:
        tokenizer = raw_tokenizer(self._config)
        if self.per_token and not tokenizer.is_fast:
            raise InputError(
                f"the tokenizer of {self.files.name} does not tell which characters a token stands for",
                got=type(tokenizer).__name__,
                expected="a fast tokenizer (tokenizer.json)",
                fix="model.pooling=mean",
            )
        if tokenizer.pad_token_id is None and tokenizer.eos_token_id is not None:
            tokenizer.pad_token = tokenizer.eos_token
        require_pad_token(tokenizer, self.files.name)
        # Positions of a decoder are counted from the left, pads among them.
        tokenizer.padding_side = "right"
        return tokenizer

    @cached_property
    def _model(self) -> Any:
        source = Source(str(self._folder), None)
        model, info = load_pretrained(BACKBONE, self._config, source, precision=self.precision, full=False)
        missing = sorted(key for key in info["missing_keys"] if "pooler" not in key.split("."))
        if missing:
            raise InputError(
                f"{self.files.name} lacks weights of this {family_of(model)} model: they would be random",
                got=f"missing: {', '.join(missing[:4])}"
                + (f" and {len(missing) - 4} more" if len(missing) > 4 else ""),
                expected="the checkpoint of an encoder or a decoder",
            )
        check_rows(model, self._tokenizer, AddedTokens({}), source)
        return model.eval().requires_grad_(False).to(self.precision.device)

    def _states(self, ids: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """Of each of these texts one vector (width,), or the states of its tokens (tokens, width)."""
        padded = self._tokenizer.pad({"input_ids": list(ids)}, return_tensors="pt").to(self.precision.device)
        with torch.inference_mode(), self.precision.autocast():
            states: Tensor = self._model(**padded).last_hidden_state
        if self.pooling != TOKENS:
            return [*POOLINGS[self.pooling](states, padded["attention_mask"]).float().cpu().numpy()]
        lengths = padded["attention_mask"].sum(1).tolist()
        return [own[:length] for own, length in zip(states.float().cpu().numpy(), lengths, strict=True)]

    def _cut(self, texts: Sequence[str], ids: Sequence[Sequence[int]]) -> list[bool]:
        """Which texts are longer than what was read of them."""
        full = [number for number, own in enumerate(ids) if len(own) == self.longest]
        cut = [False] * len(ids)
        if full:
            whole = self._tokenizer([texts[number] for number in full], truncation=False, verbose=False)["input_ids"]
            for number, own in zip(full, whole, strict=True):
                cut[number] = len(own) > len(ids[number])
        return cut


def _spans(text: str, offsets: Sequence[tuple[int, int]], special: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Which tokens stand for characters of a text, as numbers, and which these are, blanks before them left out."""
    kept, spans = [], []
    for number, ((start, end), is_special) in enumerate(zip(offsets, special, strict=True)):
        first = start
        while first < end and text[first].isspace():
            first += 1
        if first < end and not is_special:
            kept.append(number)
            spans.append((first, end))
    return np.array(kept, dtype=np.int64), np.array(spans, dtype=np.int32).reshape(-1, 2)
