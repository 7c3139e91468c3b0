"""Sentence encoders, by the library that made them."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lossmith.errors import InputError
from lossmith.models.encoders.base_files import BaseFiles
from lossmith.models.encoders.batching import as_limit, batches
from lossmith.models.encoders.encoder import ENCODER_FILE, Encoded
from lossmith.models.precision import Precision
from lossmith.runs import write_json

KIND = "sentence-transformers"
_VERSION = 1  # raised when the same files come to give other vectors
# What encoders call the prompt of a text that is looked for, in the order in which the library tries them.
_PROMPTS = ("document", "passage", "corpus")


@dataclass(frozen=True)
class SentenceEncoder:
    """A sentence-transformers model: one vector for each text, through all of its modules.

    Texts are encoded as what is looked for (`encode_document`), criteria too, so that all lie in one space.

    Source: Reimers and Gurevych 2019, "Sentence-BERT".
    """

    files: BaseFiles
    precision: Precision
    trust_remote_code: bool = False

    @property
    def per_token(self) -> bool:
        """One vector a text."""
        return False

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the files and the number format."""
        return hashlib.sha256(f"{KIND} {_VERSION} {self.files.digest} {self.precision.name}".encode()).hexdigest()

    @cached_property
    def width(self) -> int:
        """Numbers in a vector: as the files say, or, where their modules are not known here, as the model does."""
        return _width_of(self.files) or _own_width(self._model)

    @cached_property
    def longest(self) -> int | None:
        """Tokens of a text that are read, special ones included."""
        for module in (self.files.modules or [])[:1]:
            for name, key in (
                ("sentence_bert_config.json", "max_seq_length"),
                ("tokenizer_config.json", "model_max_length"),
                ("config.json", "max_position_embeddings"),
            ):
                if limit := as_limit(self.files.settings(module["path"], name).get(key)):
                    return limit
        return None

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """One vector for each text."""
        prompt = next((self._model.prompts[name] for name in _PROMPTS if self._model.prompts.get(name)), None)
        vectors = np.zeros((len(texts), self.width), dtype=np.float32)
        # An estimate: to count would be to tokenise twice, and memory is not at its limit.
        lengths = [min(len(text) // 3 + 2, self.longest or len(text)) for text in texts]
        for batch in batches(lengths, self.precision.device):
            vectors[batch] = self._model.encode_document(
                [texts[number] for number in batch],
                prompt=prompt,
                batch_size=len(batch),
                show_progress_bar=False,
                convert_to_numpy=True,
            )
        return [
            Encoded.whole(text, vector, cut=cut)
            for text, vector, cut in zip(texts, vectors, self._cut(texts, prompt or ""), strict=True)
        ]

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
            "pooling": None,
            "width": self.width,
            "longest": self.longest,
            "files": self.files.digest,
            "fingerprint": self.fingerprint,
        }

    @cached_property
    def _model(self) -> Any:
        if importlib.util.find_spec("sentence_transformers") is None:
            raise InputError(
                "sentence encoders need sentence-transformers, which is not installed",
                got=f"model.base={self.files.name}",
                expected="the extra 'embed'",
                fix="pip install 'lossmith[embed]', or model.pooling=mean, or model.base=tfidf-svd",
            )
        from sentence_transformers import SentenceTransformer

        try:
            model: Any = SentenceTransformer(
                str(self.files.folder),
                device=str(self.precision.device),
                trust_remote_code=self.trust_remote_code,
                model_kwargs={"dtype": self.precision.dtype},
            )
        except (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError) as error:
            raise InputError(
                f"{self.files.name} is no sentence encoder that can be loaded: {str(error).strip().splitlines()[0]}",
                got=self.files.name,
                expected="a sentence-transformers model of texts, with all of its files",
                fix="model.pooling=mean reads its transformer alone",
            ) from error
        return model.eval()

    def _cut(self, texts: Sequence[str], prompt: str) -> list[bool]:
        """Which texts are longer than what is read."""
        tokenizer: Any = getattr(self._model, "tokenizer", None)
        limit = as_limit(self._model.max_seq_length)
        cut = [False] * len(texts)
        if limit is None or not hasattr(tokenizer, "model_max_length"):
            return cut
        # A token has at least a byte, so that most short texts need not be counted.
        doubtful = [number for number, text in enumerate(texts) if len((prompt + text).encode()) + 8 > limit]
        if doubtful:
            whole = tokenizer([prompt + texts[number] for number in doubtful], truncation=False, verbose=False)
            for number, ids in zip(doubtful, whole["input_ids"], strict=True):
                cut[number] = len(ids) > limit
        return cut


def _width_of(files: BaseFiles) -> int | None:
    """Width by the settings of the modules, None where they are not all known here."""
    width: int | None = None
    for module in files.modules or ():
        kind, path = str(module["type"]).rpartition(".")[2], module["path"]
        settings = files.settings(path, "config.json")
        if kind == "Transformer":
            width = settings.get("hidden_size")
        elif kind == "Pooling":
            modes = settings.get("pooling_mode") or [
                key for key, value in settings.items() if key.startswith("pooling_mode_") and value
            ]
            own = settings.get("embedding_dimension") or settings.get("word_embedding_dimension")
            width = own and own * (1 if isinstance(modes, str) else len(modes))
        elif kind == "Dense":
            width = settings.get("out_features")
        elif kind not in ("Normalize", "LayerNorm", "Dropout"):
            return None
    cut = files.settings("config_sentence_transformers.json").get("truncate_dim")
    return min(width, cut) if width and cut else width


def _own_width(model: Any) -> int:
    # The library calls it otherwise since version 6.
    name = "get_embedding_dimension"
    return int(getattr(model, name if hasattr(model, name) else "get_sentence_embedding_dimension")())
