"""What lies outside the machine: trackers and the hub. No key or token is ever read, only whether one is there."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

from lossmith.config.evaluate import Tracker
from lossmith.doctor.health.finding import Finding

SECONDS = 5.0
# For each tracker where its key may lie: variables of the environment, and files in the home folder.
_KEYS = {
    "wandb": (("WANDB_API_KEY",), (".netrc", "_netrc")),
    "comet_ml": (("COMET_API_KEY",), (".comet.config",)),
    "mlflow": (("MLFLOW_TRACKING_URI",), ()),
}
_REQUIRES = {"comet_ml": "comet-ml"}
_OFFLINE = {"wandb": "WANDB_MODE", "comet_ml": "COMET_MODE"}


def tracker_findings() -> Iterator[Finding]:
    """The trackers of tracking.report_to: which are installed, and whether they know whom to report to."""
    for name in get_args(Tracker):
        if find_spec(name) is None:
            fix = (
                f"where it is wanted: pip install {'tensorboard' if name == 'tensorboard' else repr('lossmith[track]')}"
            )
            yield Finding("trackers", name, "ok", "not installed", fix)
        else:
            yield _tracker(name)


def _tracker(name: str) -> Finding:
    # An install that is there and broken would be told by the training that was to report to it.
    if (reason := _why_not_imported(name)) is not None:
        fix = f"pip install --force-reinstall {_REQUIRES.get(name, name)}, or tracking.report_to without it"
        return Finding("trackers", name, "warning", f"installed, and it cannot be imported: {reason}", fix)
    if name not in _KEYS:
        return Finding("trackers", name, "ok", "installed; it writes into the run's folder")
    variables, files = _KEYS[name]
    found = [variable for variable in variables if os.environ.get(variable)]
    found += [f"~/{file}" for file in files if (Path.home() / file).is_file()]
    if found:
        return Finding("trackers", name, "ok", f"installed; its settings are in {found[0]}")
    offline = _OFFLINE.get(name)
    if offline is None:
        return Finding("trackers", name, "ok", f"installed; {variables[0]} is not set, so it writes where it is run")
    if os.environ.get(offline, "").lower() in ("offline", "disabled"):
        return Finding("trackers", name, "ok", f"installed; {offline}={os.environ[offline]}")
    said = f"installed, and no key was found ({', '.join([*variables, *(f'~/{file}' for file in files)])})"
    return Finding("trackers", name, "warning", said, f"set {variables[0]}, or {offline}=offline")


def _why_not_imported(name: str) -> str | None:
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            import_module(name)
    except Exception as error:
        # Whatever a package in pieces raises.
        return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:120]}"
    return None


def hub_finding() -> Finding:
    """Whether the hub answers, and whether there is a token for what is gated or private."""
    from huggingface_hub import constants, get_token

    token = "a token is there" if get_token() else "no token, so gated and private models cannot be read"
    facts = {"endpoint": constants.ENDPOINT, "token": bool(get_token())}
    if constants.HF_HUB_OFFLINE:
        said = f"not asked: HF_HUB_OFFLINE is set, models come from folders and the local cache; {token}"
        return Finding("hub", "hub", "ok", said, "unset HF_HUB_OFFLINE to download models", facts)
    reason = _why_not_reached(constants.ENDPOINT)
    if reason is None:
        return Finding("hub", "hub", "ok", f"{constants.ENDPOINT} answers; {token}", facts=facts)
    fix = "check the network, or HTTPS_PROXY; HF_HUB_OFFLINE=1 works on folders and the local cache without waiting"
    return Finding("hub", "hub", "warning", f"{constants.ENDPOINT} does not answer: {reason}", fix, facts)


def _why_not_reached(endpoint: str) -> str | None:
    from huggingface_hub.utils import get_session

    try:
        answer = get_session().head(endpoint, timeout=SECONDS)
    except Exception as error:
        # The library below has changed twice, and with it the names of what it raises.
        return f"{type(error).__name__}: {str(error)[:120]}"
    return None if answer.status_code < 500 else f"status {answer.status_code}"
