"""Every example runs as it is, is short, and the one that hashes DMEX orders hashes them as published."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PUBLISHED = json.loads((Path(__file__).parent / "data" / "dmex_legacy_hashes.json").read_text())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_is_short(path):
    command = [sys.executable, "-X", "dev", "-W", "error", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - our own files
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
    assert len(path.read_text().splitlines()) < 60


def test_there_are_the_examples_that_the_readme_promises():
    names = {path.stem for path in EXAMPLES}
    assert {"cancel", "cancel_everywhere", "place_and_watch", "blocking", "dmex_place"} <= names


@pytest.mark.parametrize("published", PUBLISHED["orders"], ids=lambda row: row["order_hash"][:10])
def test_the_dmex_example_hashes_as_published(published):
    spec = importlib.util.spec_from_file_location("dmex_place", ROOT / "examples" / "dmex_place.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    order = published["order"]
    numbers = {name: int(order[name]) for name in ("amount", "price", "nonce", "leverage")}
    fields = [{**order, **numbers}[name] for name in PUBLISHED["order_fields"]]
    assert example.legacy_hash(*fields) == published["order_hash"]
