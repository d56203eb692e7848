"""Mistakes that a Router could make around its journal, made on purpose: the checker must notice each."""

from __future__ import annotations

from router.journal import Journal
from router.recovery import Recovery


def resend():
    """A submit in doubt is sent again after a restart."""

    def submit(self, kept, entry):
        operation = self._desk.resume_submit(self._operation(kept, entry.order, entry.order), entry)
        self._resumed._keep(operation, self._resumed._again)

    Recovery._submit = submit


def behind():
    """Nothing waits until it is durable: bytes leave while their intent is still being written."""
    Journal.when = lambda self, number, told: told(True)  # noqa: FBT003 - as it is told


MISTAKES = {"resend": resend, "behind": behind}
