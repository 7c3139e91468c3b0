"""How a retrieval run reads a document, in words: its encoder, its chunks, its queries."""

from __future__ import annotations

from lossmith.report.figures import count, short
from lossmith.report.run_files import Run


def encoder_words(run: Run) -> str:
    """The encoder, which no training changes."""
    base = str(run.setting("model", "base") or "")
    fitted = base.startswith("scratch-") or base == "tfidf-svd"
    width = (run.manifest.get("model") or {}).get("width")
    told = "counts of words, fitted on the training chunks" if fitted else "frozen"
    return f"{base}: {told}{f', {width:,} numbers a vector' if width else ''}" if base else ""


def chunk_words(run: Run) -> str:
    """What a chunk is."""
    chunks = run.setting("data", "chunks") or {}
    unit, size, overlap = (chunks.get(name) for name in ("by", "size", "overlap"))
    if run.setting("model", "pooling") == "tokens":
        return "each token has a vector of its own"
    if not unit or not size:
        return ""
    units = count(size, str(unit).rstrip("s"))
    return f"{units}{f', {overlap} of them shared with the next chunk' if overlap else ''}"


def reading_words(run: Run) -> str:
    """Who reads what, and what decides on it."""
    classifier = {"linear": "a linear classifier", "mlp": "a classifier with one hidden layer"}
    decides = classifier.get(str(run.setting("task", "classifier")), "a classifier")
    queries, k, temperature = (run.setting("task", name) for name in ("queries", "k", "temperature"))
    if run.setting("task", "aggregate") == "mean":
        reads = "the mean of all chunks"
    elif queries and k:
        nearest = count(k, "chunk")
        at = f" (temperature {short(temperature)})" if isinstance(temperature, int | float) else ""
        reads = f"{count(queries, 'learnt query', 'learnt queries')}, each its nearest {nearest} of a document{at}"
    else:
        return ""
    return f"{reads}; {decides}{_criterion(run)}"


def _criterion(run: Run) -> str:
    template = run.setting("data", "template")
    if not (isinstance(template, dict) and template.get("pair")):
        return ""
    heads = run.setting("task", "criterion") == "heads"
    return " for each criterion" if heads else "; the criterion's text steers both"
