"""The faults that somebody asks for by name, each with its probability: `delay`, `mute=0.1`, `random=0.05`."""

from __future__ import annotations

from typing import Final

from attrs import frozen

from router.testing.faults import Fault
from router.testing.simulator import Simulator

__all__ = ["Requested"]

ANY: Final = "random"


@frozen
class Requested:
    """One fault; None: any that the venue can have. It strikes trading commands, without end."""

    fault: Fault | None
    probability: float

    @property
    def name(self) -> str:
        return ANY if self.fault is None else self.fault

    def __str__(self) -> str:
        return self.name if self.probability == 1 else f"{self.name}={self.probability:g}"

    @classmethod
    def read(cls, text: str) -> Requested:
        """NAME or NAME=PROBABILITY. Else ValueError, with what is known."""
        name, given, number = text.partition("=")
        fault = None if name == ANY else Fault.named(name)
        try:
            probability = float(number) if given else 1.0
        except ValueError:
            probability = -1.0
        if not 0.0 <= probability <= 1.0:
            raise ValueError(f"{text!r}: the probability was {number!r}, expected 0 to 1")
        return cls(fault, probability)

    def apply(self, simulator: Simulator) -> str:
        """Inject it. Else why this venue cannot have it."""
        if self.fault is None:
            simulator.faults.random(self.probability)
            return ""
        reason = simulator.supports(self.fault)
        if not reason:
            simulator.inject(self.fault, times=None, probability=self.probability)
        return reason
