# SPDX-License-Identifier: Apache-2.0
"""`explain PATH` and `explain PID`: the denials of a file or a process, and what to type next."""

import os
import time

import pytest

from tests.cli.gate_host import Host
from tests.denials import denial, text
from verity.formats.gate_status import Act, Denial, Reason


def write(host: Host, *denials: Denial) -> None:
    host.put("sys/fs/bpf/verity/denials", text(*denials))


def seqs(host: Host, *args: str) -> list[int]:
    return [
        one["seq"] for one in host.verity("explain", *args, "--json").of_type("explained-denial")
    ]


def test_the_last_of_each_kind_of_a_file(host: Host) -> None:
    write(
        host,
        denial(1),
        denial(2, denied=False),
        denial(3, act=Act.MAP),
        denial(4),
        denial(5, path=b"/opt/other"),
        denial(6, reason=Reason.NO_DIGEST, digest=None),
    )
    assert seqs(host, "/opt/tool") == [2, 3, 4, 6]
    done = host.verity("explain", "/opt/tool")
    assert (done.status, done.err) == (0, "")
    last = done.out.split("\n\n")[-1]
    assert 'rule       policy [[reaction]] to = "no-digest"; missing: fs-verity on' in last
    assert "next       verity lockdown exception request --denial 6 -o exception.json\n" in last


def test_a_command_of_a_hostile_name_is_one_word(host: Host) -> None:
    write(host, denial(1, path=b"/opt/$(reboot) '\n", reason=Reason.STALE))
    out = host.verity("explain", "--denial", "1").out
    assert "next       verity enable $'/opt/$(reboot)\\x20\\x27\\x0a'\n" in out
    assert "way out    verity enable $'/opt/$(reboot)\\x20\\x27\\x0a', then start it again" in out


@pytest.mark.parametrize(
    ("reason", "act"), [(Reason.ANONYMOUS, Act.MAP), (Reason.GATE_PIN, Act.PIN)]
)
def test_where_no_exception_helps_none_is_offered(host: Host, reason: Reason, act: Act) -> None:
    write(host, denial(1, reason=reason, act=act, path=None, digest=None))
    (record,) = host.verity("explain", "--denial", "1", "--json").of_type("explained-denial")
    assert record["commands"] == []


def test_the_denials_of_a_process(host: Host) -> None:
    write(host, denial(1, pid=7), denial(2, pid=8), denial(3, pid=7, reason=Reason.NO_DIGEST))
    assert seqs(host, "7") == [1, 3]


def test_what_was_before_a_process_began_is_of_another(host: Host) -> None:
    """The form of /proc/PID/stat, with a name that would end it."""
    stat = "7 (a) b)) S 1 " + " ".join(["0"] * 17) + " {} 0 0\n"
    ticks = os.sysconf("SC_CLK_TCK")
    host.put("proc/7/stat", stat.format(10 * ticks))
    write(host, denial(1, pid=7, boot_ms=9_999), denial(2, pid=7, boot_ms=10_000))
    assert seqs(host, "7") == [2]
    host.put("proc/7/stat", stat.format(11 * ticks))
    assert host.verity("explain", "7").status == 3


def test_the_clock_of_a_process_is_that_of_the_gate() -> None:
    """Of the real /proc: this very process began before now, and after the boot."""
    from pathlib import Path

    from verity.ports.process import started_ms

    found = started_ms(Path("/"), os.getpid())
    assert found is not None
    assert 0 < found <= time.clock_gettime(time.CLOCK_BOOTTIME) * 1000
    assert started_ms(Path("/"), 2**31) is None
