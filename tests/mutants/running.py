"""Two workers at a time, and the jobs that they share."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from pathlib import Path

WORKER = Path(__file__).with_name("worker.py")
AT_ONCE = 2


def results(jobs: list[dict]) -> dict[str, list[dict]]:
    """What each job came to, by its name."""
    waiting: queue.SimpleQueue[dict] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    found: dict[str, list[dict]] = {}
    threads = [threading.Thread(target=_work, args=(waiting, found)) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def _work(waiting: queue.SimpleQueue[dict], found: dict[str, list[dict]]) -> None:
    """Until no job is left, or the worker has died: its last words are on stderr."""
    command = [sys.executable, str(WORKER)]
    with subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:  # noqa: S603 - our own
        while not waiting.empty():
            try:
                job = waiting.get_nowait()
            except queue.Empty:
                break
            worker.stdin.write(json.dumps(job) + "\n")
            worker.stdin.flush()
            line = worker.stdout.readline()
            if not line:
                break
            said = json.loads(line)
            found[said["name"]] = said["results"]
        worker.stdin.close()
