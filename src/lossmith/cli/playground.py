"""`lossmith playground`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lossmith.cli.options import Quiet


def playground(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN", help="Runs, model folders or hub names; default: the trained runs in --runs-dir."
        ),
    ] = None,
    runs_dir: Annotated[Path, typer.Option("--runs-dir", help="Where runs are looked for when none is named.")] = Path(
        "runs"
    ),
    port: Annotated[int, typer.Option("--port", help="0: any that is free.", min=0, max=65535)] = 0,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    seed: Annotated[int, typer.Option("--seed", help="Of the first answer, where answers are drawn.", min=0)] = 0,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    quiet: Quiet = False,
) -> None:
    """Ask models in the browser: several runs and presets side by side, of classifiers scores and evidence.

    The page is served to this machine alone, at an address that holds a token; Ctrl-C ends it.

    Example: lossmith playground runs/dreams runs/dreams-long --port 8017
    """
    from lossmith.chat.places import find_place
    from lossmith.cli.chat_screen import load_quietly
    from lossmith.playground.server import PlaygroundServer
    from lossmith.playground.table import Table, found_runs

    load_quietly(quiet)
    for name in runs or ():
        # Told here rather than on the page; found again when it is opened.
        find_place(name)
    table = Table.of(runs or found_runs(runs_dir), device=device, seed=seed)
    with PlaygroundServer(table, port=port) as server:
        typer.echo(server.url)
        if not quiet:
            typer.echo("Ctrl-C ends it", err=True)
        if open_:
            import webbrowser

            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return
