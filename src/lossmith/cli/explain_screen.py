"""How evidence looks in a terminal: of one record, and of a run."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from lossmith.cli.screen import print_rows
from lossmith.cli.visible_text import visible

_SHOWN, _NEAREST, _TERMS = 10, 3, 8
_WIDTH = 100


def print_evidence(found: Mapping[str, Any]) -> None:
    """What one prediction rests on: its scores, its best chunks as text, and what each query read."""
    document = found["document"]
    what = "the whole document of record" if found["whole"] else "record"
    typer.echo(f"{what} {visible(found['id'])}, {found['split']} split, {len(document['chunks'])} chunks")
    if found["criterion"] is not None:
        typer.echo(f"criterion: {visible(found['criterion'])}")
    if found["error"] is not None:
        typer.echo(f"! {visible(found['error'])}")
        return
    scores = "  ".join(f"{visible(name)} {score:.4f}" for name, score in found["scores"].items())
    typer.echo(f"predicted {visible(found['predicted']) or 'no label'}, label {visible(found['label']) or 'none'}")
    typer.echo(f"scores: {scores}\n")
    if not found["evidence"]:
        typer.echo("no chunk was read: the prediction is that of a document without chunks")
        return
    shown = found["evidence"][:_SHOWN]
    about = ", ".join(map(visible, found["about"]))
    typer.echo(f"evidence, by how far the log-odds of {about} fall without the chunk:")
    for rank, one in enumerate(shown, start=1):
        read_by = ", ".join(map(str, one["queries"]))
        queries = f"  queries {read_by}" if one["queries"] else ""
        typer.echo(
            f"{rank:>3}. importance {one['importance']:+.4f}  weight {one['weight']:.4f}  chunk {one['chunk']}"
            f" ({one['start']}-{one['end']}){queries}"
        )
        typer.echo(textwrap.indent(_folded(one["text"], lines=4), "       "))
    if len(found["evidence"]) > len(shown):
        typer.echo(f"     {len(found['evidence']) - len(shown)} further chunks were read (--json lists them)")
    if found["queries"]:
        typer.echo("")
        print_rows([_query_row(query) for query in found["queries"]], title="what each query read: chunk (weight)")


def print_run_evidence(found: Mapping[str, Any]) -> None:
    """What a run's queries look for, how alike they are, and whether predictions rest on what they find."""
    typer.echo(f"evidence of {found['n']} records of the {found['split']} split")
    similarity, overlap = found["similarity"], found["overlap"]
    for query in found["queries"]:
        number = query["query"]
        typer.echo(f"\nquery {number}{_alike(number, similarity, overlap)}")
        if query["terms"]:
            typer.echo("  terms:   " + ", ".join(visible(term["term"]) for term in query["terms"][:_TERMS]))
        if query["usage"]:
            shares = (
                f"{visible(name)} {'-' if share is None else f'{share:.1%}'}" for name, share in query["usage"].items()
            )
            typer.echo("  share of what speaks for " + "  ".join(shares))
        for near in query["nearest"][:_NEAREST]:
            asked = f", asked for: {_folded(near['criterion'], lines=1)}" if near.get("criterion") else ""
            typer.echo(f"  nearest: {near['cosine']:.3f}  {visible(near['id'])} chunk {near['chunk']}{asked}")
            typer.echo(textwrap.indent(_folded(near["text"], lines=2), "           "))
    tested = found["faithfulness"]
    if tested["deletion"] is None:
        typer.echo("no document has two chunks, so nothing can be taken away")
        return
    asked = visible(found.get("about") or "the prediction")
    typer.echo("")
    print_rows(
        [_fall_row(size, place, tested) for place, size in enumerate(tested["chunks"])],
        title=f"fall of the probability of {asked}, mean of {tested['n']} documents (95 % interval)",
    )
    typer.echo("")
    for kind, meaning in (
        ("deletion", "the more, the more predictions rest on their evidence"),
        ("sufficiency", "the less, the more the evidence is enough for the prediction"),
    ):
        typer.echo(
            f"{kind}, evidence less random chunks: {_interval(tested['summary'][kind], signed=True)} ({meaning})"
        )


def _alike(number: int, similarity: Sequence[Sequence[float]], overlap: Sequence[Sequence[float | None]]) -> str:
    """The query that is most like this one."""
    others = [place for place in range(len(similarity)) if place != number]
    if not others:
        return ""
    other = max(others, key=lambda place: similarity[number][place])
    shared = overlap[number][other]
    both = "" if shared is None else f", {shared:.0%} of their chunks the same"
    return f", most like query {other} (cosine {similarity[number][other]:.2f}{both})"


def _fall_row(size: int, place: int, tested: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"chunks": size, "documents": tested["deletion"]["evidence"][place]["n"]}
    for kind, name in (("deletion", "without"), ("sufficiency", "with nothing but")):
        for against, words in (("evidence", "the evidence"), ("random", "random")):
            row[f"{name} {words}"] = _interval(tested[kind][against][place])
    return row


def _interval(point: Mapping[str, Any], *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    if point["value"] is None:
        return "-"
    bounds = "" if point["low"] is None else f" ({point['low']:{sign}.3f} to {point['high']:{sign}.3f})"
    return f"{point['value']:{sign}.3f}{bounds}"


def _query_row(query: Mapping[str, Any]) -> dict[str, Any]:
    shown = query["chunks"][:_SHOWN]
    more = f" … {len(query['chunks']) - len(shown)} more" if len(query["chunks"]) > len(shown) else ""
    return {
        "query": query["query"],
        "chunks": "  ".join(f"{one['chunk']} ({one['weight']:.3f})" for one in shown) + more,
    }


def _folded(text: str, *, lines: int) -> str:
    """A text in so many lines, its line breaks among the blanks."""
    return "\n".join(textwrap.wrap(visible(" ".join(text.split())), _WIDTH, max_lines=lines, placeholder=" …"))
