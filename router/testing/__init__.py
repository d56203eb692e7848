"""Shipped test support: the base of every simulated venue, its switches and faults, and a proxy that breaks connections."""

from router.testing.faults import Fault, Point
from router.testing.injection import Faults, Struck
from router.testing.proxy import FaultProxy
from router.testing.simulator import QUIET, Fate, Received, Simulator, Switches

__all__ = [
    "QUIET",
    "Fate",
    "Fault",
    "FaultProxy",
    "Faults",
    "Point",
    "Received",
    "Simulator",
    "Struck",
    "Switches",
]
