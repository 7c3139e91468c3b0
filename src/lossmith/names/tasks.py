"""The table of tasks."""

from __future__ import annotations

from collections.abc import Mapping

from lossmith.names.rows import TaskRow, TaskWay

TASKS: Mapping[str, TaskRow] = {
    row.name: row
    for row in (
        TaskRow(
            "causal",
            "continue a prompt with a decoder-only model",
            {"": TaskWay("lossmith.tasks.causal:CAUSAL", writes=True)},
        ),
        TaskRow(
            "seq2seq",
            "write a target for a source, with an encoder-decoder or a decoder",
            {"": TaskWay("lossmith.tasks.seq2seq:task_for", architecture="t5", writes=True)},
        ),
        TaskRow(
            "classification",
            "tell classes or labels of a text, or of a pair of texts",
            {
                "head": TaskWay(
                    "lossmith.tasks.classification:HEAD",
                    losses=("class head",),
                    gives=("logits", "labels"),
                    architecture="modernbert",
                ),
                "label_words": TaskWay("lossmith.tasks.answers:LABEL_WORDS"),
                "json_answer": TaskWay("lossmith.tasks.answers:JSON_ANSWER", writes=True),
            },
            classifies=True,
        ),
        TaskRow(
            "retrieval",
            "tell classes or labels of a long document from the chunks that learnt queries find in it",
            {
                "": TaskWay(
                    "lossmith.tasks.retrieval:RETRIEVAL",
                    losses=("class head",),
                    gives=("logits", "labels", "queries"),
                    architecture="tfidf-svd",
                ),
            },
            classifies=True,
        ),
    )
}
