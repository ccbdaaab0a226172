"""Takes every guard away, one at a time, in a copy of the tree: the test that watches it must fail.

    python -m tests.doors.remove_guards [WORD …]     only guards with one of the words in their name

Exit code 1: a test passes without its guard, fails with it, or the guard is not where the table says.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.doors.guards import GUARDS, Guard

ROOT = Path(__file__).parents[2]
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".stagedoor", "build", "__pycache__", ".*_cache", ".hypothesis", "*.egg-info"
)
RUN_SECONDS = 180.0
"""The longest of the tests, `stagedoor up` among them, take a few seconds; without a guard some might wait for ever."""

SUMMARY = re.compile(r"\d+ (failed|passed|skipped|error)")

FAILED = 1
"""pytest's exit code when tests failed; a test that cannot even be collected (2, 4, 5) proves nothing."""


def main(words: Sequence[str]) -> int:
    chosen = [guard for guard in GUARDS if not words or any(word in guard.name for word in words)]
    if not chosen:
        print(f"no guard has {' or '.join(words)} in its name", file=sys.stderr)
        return 2
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="stagedoor-doors-") as folder:
        copy = Path(folder, "tree")
        shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
        tests = sorted({test for guard in chosen for test in guard.tests})
        code, said = run_tests(copy, tests)
        if code != 0:
            print(said)
            print("the tests do not pass with every guard in place", file=sys.stderr)
            return 1
        wrong = [line for guard in chosen if (line := tried(copy, guard)) is not None]
    for line in wrong:
        print(line, file=sys.stderr)
    minutes = (time.monotonic() - started) / 60
    print(f"{len(chosen) - len(wrong)} of {len(chosen)} guards: their test fails without them; {minutes:.1f} minutes")
    return 1 if wrong else 0


def tried(copy: Path, guard: Guard) -> str | None:
    """Takes one guard away and puts it back; what is wrong, None when its test noticed."""
    kept = {file: (copy / file).read_text() for file, _, _ in guard.edits}
    try:
        for file, code, replacement in guard.edits:
            text = (copy / file).read_text()
            if text.count(code) != 1:
                return f"{guard.name}: {file} has the code {text.count(code)} times"
            (copy / file).write_text(text.replace(code, replacement))
        code_, said = run_tests(copy, guard.tests)
    finally:
        for file, text in kept.items():
            (copy / file).write_text(text)
    # The last of its kind: what is torn down afterwards may have something to say.
    summary = next((line for line in reversed(said.splitlines()) if SUMMARY.match(line)), "")
    print(f"{guard.name}: {summary}", flush=True)
    if code_ != FAILED or " failed" not in f" {summary}":
        return f"{guard.name}: not noticed by {', '.join(guard.tests)}: {summary}"
    return None


def run_tests(copy: Path, tests: Sequence[str]) -> tuple[int, str]:
    """Runs them in the copy; exit code and output. A run without an end counts as failed."""
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", f"--basetemp={copy.parent}/run", *tests]
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command,
            cwd=copy,
            env=environment,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS * len(tests),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return FAILED, f"1 failed: without an end within {RUN_SECONDS:.0f} s"
    return done.returncode, done.stdout + done.stderr


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
