"""The conformance cases: what every venue's adapter must do, by number, run against its simulator over real sockets.

`pytest --venue NAME` runs them (router.testing.plugin). A case asks only for what the venue's Spec claims, never for a
venue by name. case is what a case is; cancels, silence, connections, placing, orders, capabilities and hostile hold them; stage is
what they act on; run and table are how they are run and shown.
"""

from router.testing.conformance import cancels, capabilities, connections, hostile, orders, placing, silence
from router.testing.conformance.case import CASES, Case, Nonconformity, NotApplicable, cases
from router.testing.conformance.run import RESULTS, Result, Verdict, run
from router.testing.conformance.subject import Subject, subjects

__all__ = [
    "CASES",
    "RESULTS",
    "Case",
    "Nonconformity",
    "NotApplicable",
    "Result",
    "Subject",
    "Verdict",
    "cancels",
    "capabilities",
    "cases",
    "connections",
    "hostile",
    "orders",
    "placing",
    "run",
    "silence",
    "subjects",
]
