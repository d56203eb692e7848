"""The history of a series of processes, by what its lines are about, and what is found in it."""

from __future__ import annotations

from collections import defaultdict

from attrs import frozen

FINAL = {"confirmed", "refused", "not_sent"}
SETTLED = FINAL | {"resolved"}
MOST_LINES = 6  # of the history, for one finding


@frozen
class Finding:
    """kind: as above. lines: of the history, that show it."""

    kind: str
    venue: str
    text: str
    lines: tuple = ()

    def __str__(self):
        return "\n    ".join([f"{self.kind} {self.venue}: {self.text}", *map(str, self.lines[:MOST_LINES])])


class Story:
    """The history by what it is about."""

    def __init__(self, evidence):
        self.evidence = evidence
        self.calls = {}
        self.reports = []
        """(time, process, verb, call or None, report): of a process's own commands, and of its predecessors' (no call)."""
        self.recovered = {}
        self.known = {}
        for line in evidence.lines:
            self._take(line)
        self.rows = defaultdict(list)
        self.by_id = {}
        for row in evidence.rows:
            self.rows[row.venue, row.name].append(row)
            self.by_id[row.venue, row.id] = row
        self.submits = {(call["venue"], call["name"]): call for call in self.of("submit")}
        self.closers = defaultdict(list)
        for call in self.of("cancel"):
            for key in ("name", "order_id"):
                self.closers[call["venue"], key, call.get(key)].append(call)
        for call in self.of("cancel_all"):
            self.closers[call["venue"], "cancel_all"].append(call)
        self.said = defaultdict(list)
        """What was said of a submit, by venue and name: (time, process, report)."""
        for at, process, verb, call, report in self.reports:
            if verb == "submit":
                self.said[report["venue"], (call or report)["name"]].append((at, process, report))

    def _take(self, line):
        match line["what"]:
            case "call":
                self.calls[line["process"], line["number"]] = line
            case "told":
                call = self.calls[line["process"], line["number"]]
                self.reports.append((line["at"], line["process"], line["verb"], call, line))
            case "recovered":
                self.recovered[line["process"]] = line
                for report in line["reports"]:
                    self.reports.append((line["at"], line["process"], report["verb"], None, report))
            case "known":
                self.known[line["process"]] = line

    def of(self, verb):
        return [call for call in self.calls.values() if call["verb"] == verb]

    def cancels(self, row):
        """How many commands may have cancelled it."""
        keys = ((row.venue, "name", row.name), (row.venue, "order_id", row.id), (row.venue, "cancel_all"))
        calls = {
            (call["process"], call["number"]) for key in keys for call in self.closers[key] if call["at"] < row.ended
        }
        return len(calls)

    def about(self, venue, name):
        """Every line that is about this submit."""
        call = self.submits.get((venue, name))
        found = [] if call is None else [call]
        return (*found, *(report | {"at": at, "process": process} for at, process, report in self.said[venue, name]))
