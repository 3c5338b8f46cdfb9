# SPDX-License-Identifier: Apache-2.0
"""The last resort of the command line: what no verb has translated."""

import subprocess
import sys

RUN = "from verity.cli import main; main._run = lambda arguments: {}; main.main()"


def run(code: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", RUN.format(code)]
    return subprocess.run(line, capture_output=True, text=True, timeout=60)


def test_a_file_that_nobody_has_spoken_of_is_named() -> None:
    done = run("open('/nonexistent/a\\tb')")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "verity: error: /nonexistent/a\\x09b: no such file or directory\n"


def test_an_output_that_is_full() -> None:
    done = run("open('/dev/full', 'w', 1).write('x\\n')")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "verity: error: the output can't be written: No space left on device\n"
