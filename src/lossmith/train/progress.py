"""What is seen while training: a live line in a terminal, and train.log always."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

logger = logging.getLogger("lossmith")


@contextmanager
def log_to(path: Path | None, *, quiet: bool) -> Iterator[None]:
    """Send what lossmith says to train.log, and to the terminal unless quiet; what libraries say, to the log alone.

    Without a path nothing is kept: other processes of a distributed run leave the log to the first.
    """
    from transformers.utils import logging as library

    to_file: logging.Handler = logging.NullHandler()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        to_file = logging.FileHandler(path, encoding="utf-8")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    to_screen = logging.StreamHandler(sys.stderr)
    to_screen.setLevel(logging.WARNING if quiet else logging.INFO)
    to_screen.setFormatter(_Plain())
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(to_file)
    logger.addHandler(to_screen)
    library.disable_default_handler()
    library.disable_progress_bar()
    library.add_handler(to_file)
    try:
        yield
    finally:
        library.remove_handler(to_file)
        library.enable_progress_bar()
        library.enable_default_handler()
        logger.removeHandler(to_file)
        logger.removeHandler(to_screen)
        logger.setLevel(level)
        logger.propagate = propagate
        to_file.close()


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        return f"warning: {text}" if record.levelno >= logging.WARNING else text


class LiveProgress(TrainerCallback):
    """A progress bar with loss, each term, units a second and time left; nothing where there is no terminal.

    `unit` is what a batch's tokens are called.
    """

    def __init__(self, unit: str = "tokens") -> None:
        self._unit = unit
        self._progress: Any = None
        self._task: Any = None
        self._shown = ""

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_: Any,
    ) -> None:
        """Open the bar."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        if not (console.is_terminal and state.is_world_process_zero):
            return
        self._progress = Progress(
            TextColumn("training"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[shown]}"),
            console=console,
            transient=True,
        )
        self._progress.start()
        self._task = self._progress.add_task("", total=state.max_steps, completed=state.global_step, shown="")

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_: Any,
    ) -> None:
        """Move the bar."""
        if self._progress is not None:
            self._progress.update(self._task, completed=state.global_step, shown=self._shown)

    def show(self, line: dict[str, Any], tokens: int, seconds: float) -> None:
        """Take up a line of the history: in the bar, or where there is none in the log."""
        terms = "  ".join(f"{n} {t['value']:.4f}" for n, t in line["terms"].items() if t["value"] is not None)
        rate = tokens / seconds if seconds > 0 else 0.0
        self._shown = f"loss {line['loss']:.4f}  {terms}  {rate:,.0f} {self._unit}/s"
        if self._progress is None:
            logger.info("step %d  %s", line["step"], self._shown)
        else:
            logger.debug("step %d  %s", line["step"], self._shown)

    def on_train_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_: Any,
    ) -> None:
        """Close the bar."""
        self.close()

    def close(self) -> None:
        """Close the bar; also called when training fails."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


class LastLine(TrainerCallback):
    """Has the last step logged whatever logging_steps is, so that the history tells of every step.

    Stands after all callbacks that may stop training.
    """

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_: Any,
    ) -> None:
        """Ask for the line."""
        if state.global_step >= state.max_steps or control.should_training_stop:
            control.should_log = True
