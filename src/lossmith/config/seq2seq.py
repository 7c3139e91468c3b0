"""What must hold together in a configuration where sources and targets stand apart."""

from __future__ import annotations

from lossmith.config.schema import Config
from lossmith.errors import ConfigError


def check_seq2seq(config: Config) -> None:
    """Raise ConfigError for keys of sources and targets where a task has no two sides."""
    if config.task.kind == "seq2seq":
        return
    if config.evaluate.references == "source":
        raise ConfigError(
            "evaluate.references=source is for a text-to-text task, where a source may have several targets",
            got=f"task.kind={config.task.kind}",
            expected="task.kind=seq2seq",
            fix="evaluate.references=own",
        )
    for name in ("max_source_length", "max_target_length"):
        if (given := getattr(config.data, name)) is not None:
            raise ConfigError(
                f"data.{name} is for a text-to-text task, whose sources and targets have limits of their own",
                got=f"data.{name}={given} with task.kind={config.task.kind}",
                expected="data.max_length, which bounds both together",
                fix=f"data.max_length={given}, or task.kind=seq2seq",
            )
