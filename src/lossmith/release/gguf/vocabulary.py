"""A byte-level BPE tokenizer as a GGUF file holds it: tokens by id, their kinds, merges, and how text is cut first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lossmith.config.model import ModelConfig
from lossmith.errors import InputError
from lossmith.models.base_tokenizer import load_tokenizer

_QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA = _QWEN.replace(r"|\p{N}| ?", r"|\p{N}{1,3}| ?")
# How text is cut before merges, by what a tokenizer.json says of it: the format knows these ways by name alone, and a
# tokenizer that cuts in another way would read other tokens than the model was trained on.
_CUTS: Mapping[tuple[Any, ...], str] = {
    (("Split", _QWEN, "Isolated"), ("ByteLevel", False)): "qwen2",
    (("Split", _LLAMA, "Isolated"), ("ByteLevel", False)): "llama-bpe",
    (("ByteLevel", True),): "gpt-2",
    (("Digits", True), ("ByteLevel", True)): "smollm",
}
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5


@dataclass(frozen=True)
class Vocabulary:
    """tokens and kinds by id, one for each row of the embedding; `cut` is the format's name for how text is cut."""

    tokens: Sequence[str]
    kinds: Sequence[int]
    merges: Sequence[str]
    cut: str
    special: Mapping[str, int]
    begins: bool
    chat_template: str | None


def vocabulary_of(folder: Path, *, rows: int) -> Vocabulary:
    """The tokenizer of a model's folder.

    Raises InputError for one that is no byte-level BPE, or cuts text in a way that the format has no name for.
    """
    tokenizer: Any = load_tokenizer(ModelConfig(base=str(folder)))
    told: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str()) if tokenizer.is_fast else {}
    model = told.get("model", {"type": type(tokenizer).__name__})
    if model["type"] != "BPE" or model.get("byte_fallback"):
        raise InputError(
            "this tokenizer is no byte-level BPE, and others are not written as GGUF here",
            got=model["type"] + (" with byte fallback" if model.get("byte_fallback") else ""),
            expected="a tokenizer as Llama 3, Qwen 2 and Qwen 3 have it",
            fix="the merged folder can be converted by llama.cpp's own convert_hf_to_gguf.py",
        )
    names = {place: token for token, place in tokenizer.get_vocab().items()}
    added = {one["id"]: one["special"] for one in told["added_tokens"]}
    kinds = [
        UNUSED if place not in names else NORMAL if place not in added else CONTROL if added[place] else USER_DEFINED
        for place in range(rows)
    ]
    ids = {"bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id, "pad": tokenizer.pad_token_id}
    first = tokenizer("a")["input_ids"][:1]
    return Vocabulary(
        tokens=[names.get(place, f"[PAD{place}]") for place in range(rows)],
        kinds=kinds,
        merges=[merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]],
        cut=_cut(told),
        special={name: int(place) for name, place in ids.items() if place is not None},
        begins=tokenizer.bos_token_id is not None and first == [tokenizer.bos_token_id],
        chat_template=tokenizer.chat_template if isinstance(tokenizer.chat_template, str) else None,
    )


def _cut(told: Mapping[str, Any]) -> str:
    """The format's name for a way to cut text."""
    before = told.get("pre_tokenizer") or {}
    steps = before.get("pretokenizers", [before])
    form = tuple(_step(step) for step in steps)
    if form not in _CUTS:
        raise InputError(
            "this tokenizer cuts text in a way that GGUF has no name for, so other tokens would be read",
            got=json.dumps(before, ensure_ascii=False)[:300],
            expected=f"the way of {', '.join(_CUTS.values())}",
        )
    return _CUTS[form]


def _step(step: Mapping[str, Any]) -> tuple[Any, ...]:
    kind = step.get("type")
    if kind == "Split" and not step.get("invert"):
        return kind, (step["pattern"].get("Regex") or step["pattern"].get("String")), step["behavior"]
    if kind == "ByteLevel" and not step.get("add_prefix_space"):
        return kind, step.get("use_regex", True)
    if kind == "Digits":
        return kind, step["individual_digits"]
    return (json.dumps(step, sort_keys=True),)


def write_vocabulary(writer: Any, vocabulary: Vocabulary) -> None:
    """Add the keys of a vocabulary to a file that is being made."""
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.cut)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.kinds)
    writer.add_token_merges(vocabulary.merges)
    for name, place in vocabulary.special.items():
        getattr(writer, f"add_{name}_token_id")(place)
    writer.add_add_bos_token(vocabulary.begins)
    if vocabulary.chat_template:
        writer.add_chat_template(vocabulary.chat_template)
