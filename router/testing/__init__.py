"""Shipped test support: the base of every simulated venue and its fault switches."""

from router.testing.simulator import QUIET, Fate, Received, Simulator, Switches

__all__ = ["QUIET", "Fate", "Received", "Simulator", "Switches"]
