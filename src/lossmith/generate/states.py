"""Log-probabilities of tokens after the states of a model: by a tree over the prompt's keys and values, or plainly.

Vocabulary-wide logits are made for the states that are asked about, some rows at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lossmith.generate.trie import Continuations, trie_of
from lossmith.models.head_check import verify_head
from lossmith.models.heads import head_of, own_logits
from lossmith.models.hidden import capture_hidden

# Numbers of a piece of logits, rows x words.
_NUMBERS = 2**24
# Nodes of a tree that go through the model together: their mask is nodes x (prompt + nodes).
_NODES = 128
_CHECKED_TOKENS = 8


class Asked(NamedTuple):
    """A prompt and its continuations, as token ids."""

    prompt: Sequence[int]
    continuations: Continuations


class Scorer:
    """A decoder asked for the states of tokens and for the log-probabilities of tokens after them.

    `bytes_a_number` is the width of the coarsest number format that takes part.
    """

    def __init__(self, model: Any, pad_id: int) -> None:
        self.model = model
        self.pad_id = pad_id
        self._capture = capture_hidden(model)
        self._embedding = model.get_input_embeddings().weight
        kind = self._embedding.device.type
        formats = [torch.get_autocast_dtype(kind)] if torch.is_autocast_enabled(kind) else []
        formats += [parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()]
        self.bytes_a_number = 2 if any(one.itemsize < 4 for one in formats) else 4
        self._logits: Callable[[Tensor], Tensor] | None = None

    @property
    def device(self) -> torch.device:
        """Where inputs go."""
        return self._embedding.device

    def states(self, ids: Tensor, **inputs: Any) -> Tensor:
        """(rows, tokens, width): the states of all tokens, without logits of any."""
        with self._capture as captured:
            self.model(input_ids=ids, **inputs)
        return captured.hidden

    def log_probabilities(self, states: Tensor, rows: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """In nats, of `tokens[k]` after state `rows[k]` of states (states, width); (asked,) float64."""
        logits = self._logits or self._find_logits()
        found = np.empty(len(rows), dtype=np.float64)
        piece = max(1, _NUMBERS // self._embedding.shape[0])
        for start in range(0, len(states), piece):
            mine = np.flatnonzero((rows >= start) & (rows < start + piece))
            if not len(mine):
                continue
            z = logits(states[start : start + piece])
            normalizer = z.logsumexp(-1)
            places = torch.from_numpy(rows[mine] - start).to(z.device)
            picked = z[places, torch.from_numpy(tokens[mine]).to(z.device)]
            found[mine] = (picked - normalizer[places]).double().cpu().numpy()
        return found

    def _find_logits(self) -> Callable[[Tensor], Tensor]:
        """From states to logits (rows, vocab) in fp32 or more: by the head's matrix, or by the model's own layers."""
        ids = torch.arange(_CHECKED_TOKENS, device=self.device)[None] % self._embedding.shape[0]
        inputs: Mapping[str, Tensor] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if verify_head(self.model, inputs).dense is None:
            self._logits = head_of(self.model).logits
        else:
            kind = self.device.type
            autocast = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
            own = own_logits(self.model, inputs, autocast=autocast)
            self._logits = lambda hidden: own(hidden).float()
        return self._logits


@torch.no_grad()
def by_tree(scorer: Scorer, rows: Sequence[Asked]) -> list[tuple[float, ...]]:
    """Log-likelihoods of each row's continuations, from one pass over the prompts and one over their trees.

    Prompts are padded at their right, where no earlier token sees the padding, and trees attend to their own prompt
    and to their own way alone.
    """
    from transformers import DynamicCache

    lengths = np.array([len(row.prompt) for row in rows])
    tries = [trie_of(row.continuations) for row in rows]
    width, nodes = int(lengths.max()), max(map(len, tries))
    cache = DynamicCache() if nodes else None
    ids, attention = _padded(scorer, [row.prompt for row in rows])
    hidden = scorer.states(ids, attention_mask=attention, past_key_values=cache, use_cache=nodes > 0)
    device = hidden.device
    last = torch.from_numpy(lengths - 1).to(device)
    states = [hidden[torch.arange(len(rows), device=device), last][:, None]]
    if nodes:
        tokens = np.full((len(rows), nodes), scorer.pad_id, dtype=np.int64)
        positions = np.zeros((len(rows), nodes), dtype=np.int64)
        seen = np.zeros((len(rows), nodes, width + nodes), dtype=bool)
        for row, (tree, length) in enumerate(zip(tries, lengths, strict=True)):
            tokens[row, : len(tree)] = tree.tokens
            positions[row] = length
            positions[row, : len(tree)] += tree.depths - 1
            seen[row, :, :length] = True
            seen[row, : len(tree), width : width + len(tree)] = tree.sees
        for start in range(0, nodes, _NODES):
            end = min(start + _NODES, nodes)
            allowed = torch.from_numpy(seen[:, None, start:end, : width + end]).to(device)
            mask = torch.zeros(allowed.shape, dtype=hidden.dtype, device=device)
            mask.masked_fill_(~allowed, torch.finfo(mask.dtype).min)
            states.append(
                scorer.states(
                    torch.from_numpy(tokens[:, start:end]).to(scorer.device),
                    attention_mask=mask,
                    position_ids=torch.from_numpy(positions[:, start:end]).to(scorer.device),
                    past_key_values=cache,
                    use_cache=True,
                )
            )
    every = torch.cat(states, dim=1)
    places = np.concatenate([row * (nodes + 1) + tree.states for row, tree in enumerate(tries)])
    found = scorer.log_probabilities(every.flatten(0, 1), places, np.concatenate([tree.asked for tree in tries]))
    return _summed(found, [tree.owners for tree in tries])


@torch.no_grad()
def one_by_one(scorer: Scorer, rows: Sequence[Asked]) -> list[tuple[float, ...]]:
    """The same by a forward pass over prompt and continuation together, once for each continuation."""
    found: list[list[float]] = [[] for _ in rows]
    for place in range(max(len(row.continuations) for row in rows)):
        mine = [index for index, row in enumerate(rows) if place < len(row.continuations)]
        answers = [rows[index].continuations[place] for index in mine]
        prompts = [rows[index].prompt for index in mine]
        ids, attention = _padded(scorer, [[*p, *a[:-1]] for p, a in zip(prompts, answers, strict=True)])
        hidden = scorer.states(ids, attention_mask=attention, use_cache=False)
        read = [
            hidden[row, len(prompt) - 1 : len(prompt) - 1 + len(answer)]
            for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True))
        ]
        owners = np.repeat(np.arange(len(mine)), [len(answer) for answer in answers])
        values = scorer.log_probabilities(torch.cat(read), np.arange(len(owners)), np.concatenate(answers))
        for index, value in zip(mine, np.bincount(owners, weights=values, minlength=len(mine)), strict=True):
            found[index].append(float(value))
    return [tuple(values) for values in found]


def _padded(scorer: Scorer, sequences: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Ids and attention mask (rows, tokens), padded at the right."""
    width = max(map(len, sequences))
    ids = np.full((len(sequences), width), scorer.pad_id, dtype=np.int64)
    attention = np.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = sequence
        attention[row, : len(sequence)] = 1
    return torch.from_numpy(ids).to(scorer.device), torch.from_numpy(attention).to(scorer.device)


def _summed(values: np.ndarray, owners: Sequence[np.ndarray]) -> list[tuple[float, ...]]:
    """The sum of each continuation's tokens, row by row."""
    sums, at = [], 0
    for own in owners:
        sums.append(tuple(np.bincount(own, weights=values[at : at + len(own)]).tolist()))
        at += len(own)
    return sums
