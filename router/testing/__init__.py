"""Shipped test support: the base of every simulated venue, its switches and faults, and a proxy that breaks connections."""

from router.testing.bench import Bench, Refusal, Row, Verb
from router.testing.faults import Fault, Point
from router.testing.injection import Faults, Struck
from router.testing.proxy import FaultProxy
from router.testing.simulator import QUIET, Fate, Received, Simulator, Switches

__all__ = [
    "QUIET",
    "Bench",
    "Fate",
    "Fault",
    "FaultProxy",
    "Faults",
    "Point",
    "Received",
    "Refusal",
    "Row",
    "Simulator",
    "Struck",
    "Switches",
    "Verb",
]
