"""Arguments and options that several verbs share."""

from __future__ import annotations

from typing import Annotated

import typer

ConfigArgument = Annotated[
    str, typer.Argument(metavar="CONFIG", help="A preset's name, or a YAML or JSON file.", show_default=False)
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="OVERRIDE",
        help="key=value, ~key, group=name; as train.learning_rate=1e-4.",
        show_default=False,
    ),
]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say only warnings and errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Split = Annotated[str | None, typer.Option("--split", help="train, validation or test; default: evaluate.split.")]
