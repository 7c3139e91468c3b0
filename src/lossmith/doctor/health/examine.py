"""Everything that is looked at, in the order in which it is told."""

from __future__ import annotations

from collections.abc import Iterator

from lossmith.doctor.health.devices import device_findings
from lossmith.doctor.health.finding import Finding
from lossmith.doctor.health.model import model_findings
from lossmith.doctor.health.services import hub_finding, tracker_findings
from lossmith.doctor.health.storage import storage_findings
from lossmith.doctor.health.versions import version_findings


def examine(model: str | None = None) -> Iterator[Finding]:
    """Findings on versions, devices, disk, trackers and the hub, and on `model` where one is named."""
    # A model that is not there is told before anything is timed.
    of_model = list(model_findings(model)) if model is not None else []
    yield from version_findings()
    yield from device_findings()
    yield from storage_findings()
    yield from tracker_findings()
    yield hub_finding()
    yield from of_model
