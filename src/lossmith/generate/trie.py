"""Continuations of one prompt as a tree: what they share is computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

Continuations = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, eq=False)
class Trie:
    """The beginnings that continuations share, each a node, parents before children.

    tokens and depths (nodes,): the last token of a beginning and how many it has; `sees` (nodes, nodes) marks the node
    itself and those on its way. What is asked of the model: token `asked[k]` after state `states[k]`, for continuation
    `owners[k]`; state 0 is the prompt's last token, state i + 1 node i.
    """

    tokens: np.ndarray
    depths: np.ndarray
    sees: np.ndarray
    states: np.ndarray
    asked: np.ndarray
    owners: np.ndarray

    def __len__(self) -> int:
        return len(self.tokens)


@lru_cache(maxsize=256)
def trie_of(continuations: Continuations) -> Trie:
    """The tree of some continuations, each of one token or more.

    Raises ValueError for an empty continuation: it would have likelihood 1 whatever the prompt.

    >>> tree = trie_of(((5, 6, 1), (5, 1)))
    >>> tree.tokens.tolist(), tree.depths.tolist()
    ([5, 6], [1, 2])
    >>> [(int(s), int(a)) for s, a in zip(tree.states, tree.asked)]
    [(0, 5), (1, 6), (2, 1), (0, 5), (1, 1)]
    """
    nodes: dict[tuple[int, ...], int] = {}
    asked: list[tuple[int, int, int]] = []
    for owner, continuation in enumerate(continuations):
        if not continuation:
            raise ValueError("a continuation without tokens has no likelihood")
        for length, token in enumerate(continuation):
            beginning = continuation[:length]
            state = nodes.setdefault(beginning, len(nodes)) + 1 if beginning else 0
            asked.append((state, token, owner))
    sees = np.zeros((len(nodes), len(nodes)), dtype=bool)
    for beginning, node in nodes.items():
        sees[node, [nodes[beginning[:length]] for length in range(1, len(beginning) + 1)]] = True
    states, tokens, owners = np.array(asked, dtype=np.int64).reshape(-1, 3).T
    return Trie(
        tokens=np.array([beginning[-1] for beginning in nodes], dtype=np.int64),
        depths=np.array([len(beginning) for beginning in nodes], dtype=np.int64),
        sees=sees,
        states=states,
        asked=tokens,
        owners=owners,
    )


def as_continuations(given: Sequence[Sequence[int]]) -> Continuations:
    """Plain tuples, by which equal sets of continuations are known to be equal."""
    return tuple(tuple(int(token) for token in one) for one in given)
