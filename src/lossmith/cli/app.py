"""The `lossmith` command: verbs, exit codes, and errors as one block."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from lossmith.cli import (
    ablate,
    chat,
    compare,
    config,
    cv,
    demo,
    doctor,
    evaluate,
    explain,
    init,
    inspect,
    listing,
    merge,
    plan,
    playground,
    predict,
    prepare,
    publish,
    report,
    run,
    train,
    tune,
    verify,
)
from lossmith.cli.help import grouped, help_of
from lossmith.errors import LossmithError

SECTIONS: Mapping[str, tuple[tuple[str, Callable[..., None]], ...]] = {
    "To begin": (
        ("demo", demo.demo),
        ("init", init.init),
        ("list", listing.list_),
        ("config", config.config),
        ("doctor", doctor.doctor),
        ("plan", plan.plan),
    ),
    "A run and its stages": (
        ("run", run.run),
        ("prepare", prepare.prepare),
        ("train", train.train),
        ("predict", predict.predict),
        ("evaluate", evaluate.evaluate),
        ("report", report.report),
    ),
    "What a model sees, says and goes by": (
        ("inspect", inspect.inspect),
        ("chat", chat.chat),
        ("playground", playground.playground),
        ("explain", explain.explain),
    ),
    "Several runs": (
        ("compare", compare.compare),
        ("cv", cv.cv),
        ("ablate", ablate.ablate),
        ("tune", tune.tune),
    ),
    "To give a model away": (
        ("merge", merge.merge),
        ("verify", verify.verify),
        ("publish", publish.publish),
    ),
}
VERBS = tuple(verb for verbs in SECTIONS.values() for verb in verbs)

app = typer.Typer(
    name="lossmith",
    cls=grouped(SECTIONS),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# `config import` stands beside `config CONFIG`.
_CLASSES = {"config": config.ConfigCommand}
for _name, _verb in VERBS:
    app.command(_name, cls=_CLASSES.get(_name), help=help_of(_verb))(_verb)


def root(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Fine-tune language models on the objective the task really has.

    Example: lossmith run recipes/sinkhorn data.files=recipes.jsonl model=scratch-tiny
    """
    context.obj = {"debug": debug}
    if version:
        from importlib.metadata import version as installed

        typer.echo(installed("lossmith"))
        raise typer.Exit


app.callback(invoke_without_command=True, help=help_of(root))(root)


def main() -> None:
    """Entry point: run a verb; a failure is one block on standard error and an exit code.

    0 done, 1 the work failed, 2 the input is wrong, 3 a gate was missed.
    """
    # Before torch loads: where another program holds one of two cores, threads that spin for each other make a step of
    # a small model many times as long; a short spin costs little there and nothing on idle cores (docs/benchmarks.md).
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    # Where bitsandbytes is installed, peft imports it for every model, and it warns of a kernel that nobody asked for.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    debug = "--debug" in sys.argv
    if debug:
        # Accepted wherever it stands, so that it can be added at the end of a failed command.
        sys.argv = [sys.argv[0], "--debug", *(a for a in sys.argv[1:] if a != "--debug")]
    try:
        app(prog_name="lossmith")
    except LossmithError as error:
        if debug:
            raise
        _say(f"error: {error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _say("interrupted")
        sys.exit(130)
    except BrokenPipeError:
        # The reader of a pipe (head, less) has left; there is nobody to tell.
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        if debug:
            raise
        _say(f"error: {type(error).__name__}: {error}\n  fix: this was not foreseen; --debug shows where it happened")
        sys.exit(1)


def _say(text: str) -> None:
    typer.echo(text, err=True)
