"""Tokens added to a loaded model: their rows, where they start from, and which modules hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from lossmith.errors import ConfigError
from lossmith.models.hidden import family_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class AddedTokens:
    """Tokens that the base did not have: `pieces` gives, by new id, the ids the text was written with before."""

    pieces: Mapping[int, tuple[int, ...]]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def ids(self) -> list[int]:
        """The new ids, ascending."""
        return sorted(self.pieces)


def add_tokens(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> AddedTokens:
    """Add `texts` as tokens of their own to `tokenizer`, in place; those it knows already are left as they are.

    Raises ConfigError for an empty or repeated text.
    """
    from tokenizers import AddedToken

    if len(set(texts)) != len(texts) or not all(texts):
        raise ConfigError("model.add_tokens holds an empty or repeated token", got=list(texts))
    known = [text for text in texts if text in tokenizer.get_vocab()]
    new = [text for text in texts if text not in known]
    written = {text: tuple(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in new}
    tokenizer.add_tokens([AddedToken(text, normalized=False, special=False) for text in new])
    vocabulary = tokenizer.get_vocab()
    ids = {text: vocabulary[text] for text in new}
    return AddedTokens(
        pieces={ids[text]: written[text] for text in new},
        notes=(f"{len(new)} tokens added, each starting as the mean of its old pieces",) if new else (),
        warnings=tuple(f"model.add_tokens: the tokenizer has '{text}' already" for text in known),
    )


@torch.no_grad()
def give_rows(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, added: AddedTokens) -> None:
    """Make room for the tokenizer in both embeddings and start each new row as the mean of its pieces' rows.

    Embeddings that have room already (many are padded) are not resized, and never shrunk.
    """
    inputs: Any = model.get_input_embeddings()
    if len(tokenizer) > inputs.weight.shape[0]:
        # The rows are set below, so drawing them from the statistics of all others would be work for nothing.
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    both: tuple[Any, Any] = (model.get_input_embeddings(), model.get_output_embeddings())
    layers = {id(layer.weight): layer for layer in both if layer is not None}
    for layer in layers.values():
        for new, pieces in added.pieces.items():
            old = list(pieces) or list(range(min(added.pieces)))
            layer.weight[new] = layer.weight[old].float().mean(0).to(layer.weight.dtype)
            if getattr(layer, "bias", None) is not None:
                layer.bias[new] = layer.bias[old].float().mean()


def trainable_rows(model: PreTrainedModel, ids: Sequence[int]) -> dict[str, list[int]]:
    """Peft's `trainable_token_indices` for these ids: the input embedding, and the output layer where it is its own."""
    names = {id(module): name for name, module in model.named_modules()}
    inputs, outputs = model.get_input_embeddings(), model.get_output_embeddings()
    layers = [inputs] if outputs is None or outputs.weight is inputs.weight else [inputs, outputs]
    if any(id(layer) not in names for layer in layers):
        raise ConfigError(f"the embeddings of this {family_of(model)} model are not modules of it", got="add_tokens")
    return {names[id(layer)]: list(ids) for layer in layers}
