"""Explained records and runs as `lossmith explain` writes them: the terms of a service that lends bicycles."""

from __future__ import annotations

import random
from typing import Any

SENTENCES = (
    "These terms are between you and Spokes & Co., which lends bicycles in the city.",
    "You may use the service if you are sixteen or older and hold an account in your own name.",
    "An account is opened with an address, a telephone number and a means of payment.",
    "Please keep your password to yourself and tell us when you think that somebody else knows it.",
    "A ride begins when the lock opens and ends when it is closed at a station.",
    "Rides of less than half an hour cost one coin; every further half hour costs two.",
    "We may suspend or close your account at any time, for any reason or none, without notice.",
    "Money that stands on a closed account is paid back within thirty days.",
    "Bicycles are looked after every week, and you should try the brakes before you ride.",
    "If something on a bicycle is broken, leave it at the station and write to us.",
    "To the extent that the law allows, we are not liable for any loss or injury, even where we were told of it.",
    "Nothing in these terms takes away rights that consumers have and cannot give up.",
    "We may change these terms whenever we like, and your next ride means that you agree to the new ones.",
    "The newest version always hangs at every station and stands on our page.",
    "Photographs that you send us stay yours, and we may show them at the stations.",
    "We write to you about rides and repairs, never to sell you anything.",
    "Helmets are lent free of charge at the larger stations, as long as there are any.",
    "Children may ride along in the cargo bicycles when they sit in the box.",
    "Any dispute goes to an arbitrator whom we choose, and you give up your day in court.",
    "These terms follow the law of the country in which the station stands.",
    "If one sentence of these terms cannot be held, the others stay as they are.",
    "You can close your account yourself, on the page or at any station.",
    "We keep the times and places of your rides for a year and then forget them.",
    "Questions are answered by people, on weekdays from eight to six.",
)
CRITERION = "The provider may end the contract or change it alone, without notice or without a reason."
# sentence of the first of three: importance; the chunks overlap by one sentence
DECISIVE = {6: 1.62, 12: 0.94, 10: 0.35, 18: 0.21, 20: -0.28, 4: 0.06, 14: 0.02, 0: -0.05}


def cut(sentences: list[str], size: int = 3, overlap: int = 1) -> tuple[str, list[dict[str, int]]]:
    """The document, a sentence a line, and its chunks."""
    starts, text = [], ""
    for sentence in sentences:
        starts.append(len(text))
        text += sentence + "\n"
    chunks = []
    for first in range(0, len(sentences), size - overlap):
        last = min(first + size, len(sentences)) - 1
        chunks.append({"start": starts[first], "end": starts[last] + len(sentences[last])})
        if last == len(sentences) - 1:
            break
    return text, chunks


def explained(copies: int = 1, *, queries: int = 8, k: int = 12, hostile: str = "") -> dict[str, Any]:
    """A record whose third query finds what decides; of more `copies` the decisive sentences stand in the middle one."""
    filler = list(SENTENCES[13:18] + SENTENCES[7:10]) * 3
    before, after = filler * (copies // 2), filler * ((copies - 1) // 2)
    text, chunks = cut([*before, *SENTENCES[:5], *([hostile] if hostile else []), *SENTENCES[5:], *after])
    rng = random.Random(7)
    importance = {
        number: DECISIVE.get(2 * number - len(before) - bool(hostile), 0.001 * rng.random()) for number in range(len(chunks))
    }
    found = []
    for query in range(queries):
        order = sorted(importance, key=lambda number: -abs(importance[number]) - 0.3 * rng.random())[:k]
        shares = [2.0 ** -(place + rng.random()) for place in range(len(order))]
        read = [
            _of(text, chunks, number) | {"weight": share / sum(shares), "cosine": 0.8 - 0.04 * place - 0.02 * query}
            for place, (number, share) in enumerate(zip(order, shares, strict=True))
        ]
        found.append({"query": query, "chunks": read})
    evidence = []
    for number in sorted({one["chunk"] for query in found for one in query["chunks"]}, key=lambda one: -importance[one]):
        readers = [q for q in found if any(one["chunk"] == number for one in q["chunks"])]
        weight = sum(one["weight"] for q in readers for one in q["chunks"] if one["chunk"] == number) / max(1, queries)
        evidence.append(
            _of(text, chunks, number)
            | {"weight": weight, "importance": importance[number], "queries": [q["query"] for q in readers]}
        )
    return {
        "schema": 1,
        "id": "Spokes:0#ter",
        "split": "test",
        "label": "1",
        "predicted": "1",
        "scores": {"0": 0.134, "1": 0.866},
        "criterion": CRITERION,
        "document": {"text": text, "chunks": chunks},
        "queries": found,
        "evidence": evidence,
    }


def _of(text: str, chunks: list[dict[str, int]], number: int) -> dict[str, Any]:
    span = chunks[number]
    return {"chunk": number, **span, "text": text[span["start"] : span["end"]]}
