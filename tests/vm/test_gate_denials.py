# SPDX-License-Identifier: Apache-2.0
"""The gate's log under a flood: the last 256 refusals, the first of each reason, whole lines."""

from __future__ import annotations

from .gate_log import DENIALS, is_torn
from .gate_machine import AT, SPECIMENS, Gate, value

RING = 256
FLOOD = 300
QUIET = ("bpf-program", "user-namespace")  # of systemd, and only observed
LOOKS = 60  # of some 50 KB each: 16 MiB are as much as a command may print
STARTS = 1_000_000  # more than there is time for


def test_a_flood_leaves_the_first_of_each_reason(sealed: Gate) -> None:
    """The first since the load, even if it was only observed: the loader's canary before the seal
    is the first `no-digest` here, and the canary after it is denied and no first."""
    before = sealed.denials()
    canaries = [one for one in before if one.reason not in QUIET]
    assert [(one.reason, one.enforced) for one in canaries] == [
        ("no-digest", False),
        ("no-digest", True),
    ]
    sealed.machine.run(f"n=0; until [ $n = {FLOOD} ]; do {AT}/a; n=$((n + 1)); done", check=False)
    found = sealed.denials()
    flood = [one for one in found if one.reason == "not-granted"]
    assert all(one.enforced and one.act == "exec" for one in flood)
    last = found[-1].number
    assert last - before[-1].number >= FLOOD
    firsts = [one for one in found if one.number <= last - RING]
    assert [one.number for one in found[len(firsts) :]] == [*range(last - RING + 1, last + 1)]
    assert len({one.reason for one in firsts}) == len(firsts)
    assert [one for one in firsts if one.reason not in QUIET] == [canaries[0], flood[0]]
    assert value(sealed.status(), "lost") == str(last - RING)


def test_a_line_that_is_read_while_it_is_written_says_so(sealed: Gate) -> None:
    """Two threads are refused as fast as they can, while the log is read: each line that isn't torn
    is of one refusal, so its digest is that of its file."""
    machine = sealed.machine
    files = [f"{AT}/{name}" for name in SPECIMENS]
    measured = machine.run(["fsverity", "measure", *files]).text
    digests = {path: digest for digest, path in map(str.split, measured.splitlines())}
    flood = f"{AT}/flood denied {STARTS} {' '.join(files)}"
    read = machine.run(
        f"{flood} & n=0; while kill -0 $! 2>&- && [ $n != {LOOKS} ]; do cat {DENIALS};"
        " n=$((n + 1)); done; kill $! 2>&-; wait",
        timeout_s=300,
        check=False,
    ).text.splitlines()
    ours = [line.split(" ") for line in read if " not-granted " in line and not is_torn(line)]
    assert len(ours) > LOOKS * RING / 4
    assert not [line for line in ours if f"sha256:{line[8]}" != digests.get(line[9])]
    assert any(map(is_torn, read)), "nothing was written while it was read: this has shown nothing"
