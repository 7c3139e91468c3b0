"""What must hold together where answers keep to a JSON schema."""

from __future__ import annotations

from lossmith.config.schema import Config
from lossmith.errors import ConfigError


def check_structure(config: Config) -> None:
    """Raise ConfigError for a schema that nothing is written by, and for constrained decoding without one."""
    by_json = config.classifies and config.task.method == "json_answer"
    if config.data.answer_schema is not None and config.classifies:
        raise ConfigError(
            "data.answer_schema is about answers that are written, and this task tells classes",
            got=f"task.kind={config.task.kind}",
            expected="causal or seq2seq; the schema of task.method=json_answer is made of its classes and task.answer",
            fix="data.answer_schema=null",
        )
    if config.generate.constrained and config.data.answer_schema is None and not by_json:
        raise ConfigError(
            "generate.constrained needs a schema that answers keep to",
            got="data.answer_schema=null",
            expected="a JSON schema, or a classification by task.method=json_answer",
            fix="data.answer_schema=schema.json",
        )
