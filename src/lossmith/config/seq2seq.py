"""What must hold together in a configuration with limits for sources and targets."""

from __future__ import annotations

from lossmith.config.schema import Config
from lossmith.errors import ConfigError


def check_seq2seq(config: Config) -> None:
    """Raise ConfigError for limits of source and target where a task has no two sides."""
    if config.task.kind == "seq2seq":
        return
    for name in ("max_source_length", "max_target_length"):
        if (given := getattr(config.data, name)) is not None:
            raise ConfigError(
                f"data.{name} is for a text-to-text task, whose sources and targets have limits of their own",
                got=f"data.{name}={given} with task.kind={config.task.kind}",
                expected="data.max_length, which bounds both together",
                fix=f"data.max_length={given}, or task.kind=seq2seq",
            )
