"""The README's example runs as printed."""

import re
import subprocess
import sys
from pathlib import Path

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_the_ten_lines_run_as_printed():
    code, *_ = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - our own text
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("CONFIRMED") == 2


def test_it_names_the_two_commands():
    assert "pip install -e . && router demo" in README
    assert "pip install -e '.[test]' && pytest" in README
