"""The memory of a training by part and phase, from what its pieces were found to hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

PARTS = ("process", "weights", "gradients", "optimizer", "activations", "loss", "allocator")


@dataclass(frozen=True)
class Phase:
    """The highest point of a phase of training, by part, in bytes.

    `process` is the interpreter with its libraries and the rows in memory, on a processor alone; `optimizer` its state
    and what a step of it needs; `allocator` what the C library holds beside what it was asked for.
    """

    name: str
    process: int = 0
    weights: int = 0
    gradients: int = 0
    optimizer: int = 0
    activations: int = 0
    loss: int = 0
    allocator: int = 0

    @property
    def total(self) -> int:
        """All parts together."""
        return sum(getattr(self, part) for part in PARTS)


@dataclass(frozen=True)
class Memory:
    """All phases of a training on a device that has `room` bytes left for it."""

    phases: Sequence[Phase]
    room: int

    @property
    def peak(self) -> Phase:
        """The phase that takes most."""
        return max(self.phases, key=lambda phase: phase.total)

    @property
    def fits(self) -> bool:
        """Whether the highest point is within the room."""
        return self.peak.total <= self.room

    def most(self, part: str) -> int:
        """What a part takes at most, whatever the others take then."""
        return max(getattr(phase, part) for phase in self.phases)

    def as_json(self) -> dict[str, Any]:
        """Bytes by part: at most, and at the highest point of all."""
        return {
            "peak_bytes": self.peak.total,
            "peak_phase": self.peak.name,
            "room_bytes": self.room,
            "fits": self.fits,
            "parts_bytes": {part: self.most(part) for part in PARTS},
            "at_peak_bytes": {part: getattr(self.peak, part) for part in PARTS},
            "phases_bytes": {phase.name: phase.total for phase in self.phases},
        }
