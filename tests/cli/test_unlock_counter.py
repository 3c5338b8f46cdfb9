# SPDX-License-Identifier: Apache-2.0
"""The ledger of unlocks on a host with a TPM: `unlock ledger counter`, and what it finds then.

The TPM is swtpm. It is asked for the running root alone, so the host's directories lie in the
place of this machine's, in a mount namespace.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tpm as tpms
from tests.cli.gate_host import Host
from tests.cli.program import TIMEOUT_S, VERITY, Done, assert_clean_error, needs_root
from tests.cli.unlock_world import ASK, ledger, on
from tests.tpm import Tpm
from verity.ports.tpm_counter import INDEX

pytestmark = needs_root

TPM2 = Path("/usr/bin/tpm2")  # all of tpm2-tools by links, whose names say which is meant
STUB = """\
#!/bin/sh
tool=${0##*/tpm2_}
case $1 in --tcti=device:/dev/tpmrm0) shift ;; *) exit 99 ;; esac
"""
PLACES = ("sys/fs/bpf", "sys/kernel/security", "var/lib", "run")
COUNTED = "an older ledger in its place would be seen"
ROLLED_BACK = "it was rolled back, or cut"


@pytest.fixture
def tpm() -> Iterator[Tpm]:
    with tpms.made() as made:
        made.start()
        yield made


@pytest.fixture
def alone(sealed: Host) -> Host:
    """A sealed host with what lies in the place of this machine's."""
    for name in PLACES:
        (sealed.root / name).mkdir(parents=True, exist_ok=True)
    sealed.put("dev/kmsg", "")
    return sealed


@pytest.fixture
def counted(alone: Host, tpm: Tpm) -> Host:
    """A sealed host whose ledger the TPM counts: two lines, the numbers 2 and 3."""
    begun = here(alone, tpm, "ledger", "counter")
    assert begun.status == 0, begun.err
    assert begun.out == "counter  the TPM counts from here on, and stands at 2\n"
    challenge(alone, tpm)
    return alone


def here(host: Host, tpm: Tpm, *args: str, first: str = "") -> Done:
    """Run on the host, as its own root, with a gate that answers.

    tpm2-tools are led from the kernel's TPM to this one; `first` is what each does before.
    """
    host.put("tpm2", f'{STUB}{first}\nexec {host.root}/real/tpm2 "$tool" --tcti={tpm.name} "$@"\n')
    (host.root / "tpm2").chmod(0o755)
    (host.root / "real").mkdir(exist_ok=True)
    shutil.copy(TPM2, host.root / "real/tpm2")
    binds = "".join(f'mount --bind "{host.root}/{name}" /{name} && ' for name in PLACES)
    binds += f'mount --bind "{host.root}/dev/kmsg" /dev/kmsg && '
    binds += f'mount --bind "{host.root}/tpm2" {TPM2} && '
    preload = ["env", f"LD_PRELOAD={host.shim}"]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", binds + 'exec "$@"', "-", *preload, VERITY, "unlock", *args],
        cwd=host.root,
        capture_output=True,
        timeout=TIMEOUT_S,
        stdin=subprocess.DEVNULL,
        env={
            **os.environ,
            "SHIM_ANSWERS": ",".join(["3005"] * 8),
            "SHIM_LOG": str(host.root / "calls"),
        },
    )
    return Done(done.returncode, done.stdout, done.stderr)


def challenge(host: Host, tpm: Tpm) -> Done:
    done = here(host, tpm, "challenge", *ASK)
    assert done.status == 0, done.err
    return done


def keep(host: Host) -> Path:
    """What is on its disk, and in /run."""
    kept = host.root / "kept"
    for name in ("var/lib", "run"):
        shutil.copytree(host.root / name, kept / name)
    return kept


def put_back(host: Host, kept: Path) -> None:
    for name in ("var/lib", "run"):
        shutil.copytree(kept / name, host.root / name, dirs_exist_ok=True)


def test_it_counts(counted: Host, tpm: Tpm) -> None:
    lines = ledger(counted)
    assert [(line["event"], line["counter"]) for line in lines] == [
        *(("counter", 2), ("challenge", 3)),
    ]
    assert lines[0]["boot"] == lines[1]["boot"]
    done = here(counted, tpm, "ledger", "verify")
    assert (done.status, "whole: 2 entries" in done.out) == (0, True)
    assert "the TPM counts 3: " in done.err and COUNTED in done.err
    assert here(counted, tpm, "ledger", "show").status == 0
    # Once more is no harm, and says so.
    again = here(counted, tpm, "ledger", "counter")
    assert (again.status, again.out) == (0, "counter  it counts already, and stands at 3\n")
    as_json = here(counted, tpm, "ledger", "counter", "--json")
    assert as_json.of_type("counter") == [{"v": 1, "type": "counter", "value": 3, "before": True}]
    assert (len(ledger(counted)), tpm.value) == (2, 3)


def test_a_disk_that_is_put_back(counted: Host, tpm: Tpm) -> None:
    kept = keep(counted)
    challenge(counted, tpm)
    put_back(counted, kept)
    for verb in ("verify", "show"):
        done = here(counted, tpm, "ledger", verb)
        assert (done.status, done.out.count("FINDING")) == (1, 1)
        assert f"the TPM counts 4, and its last number is 3: {ROLLED_BACK}" in done.out
    challenge(counted, tpm)
    assert "line 3 says: the TPM counts 4" in here(counted, tpm, "ledger", "verify").out


def test_a_disk_from_before_the_counter(alone: Host, tpm: Tpm) -> None:
    challenge(alone, tpm)
    before = here(alone, tpm, "ledger", "verify")
    assert before.status == 0 and "`verity unlock ledger counter`" in before.err
    kept = keep(alone)
    assert here(alone, tpm, "ledger", "counter").status == 0
    put_back(alone, kept)
    done = here(alone, tpm, "ledger", "verify")
    assert done.status == 1 and "it was rolled back to before the counter" in done.out


def test_killed_before_the_tpm_counts(counted: Host, tpm: Tpm) -> None:
    kills = '[ "$tool" != nvincrement ] || { kill -9 $PPID; exit; }'
    killed = here(counted, tpm, "challenge", *ASK, first=kills)
    assert killed.status == -9
    assert (ledger(counted)[-1]["counter"], tpm.value) == (4, 3)
    assert here(counted, tpm, "ledger", "verify").status == 0
    challenge(counted, tpm)
    assert (ledger(counted)[-1]["counter"], tpm.value) == (5, 5)
    assert here(counted, tpm, "ledger", "verify").status == 0


def test_no_tpm_any_more(counted: Host, tpm: Tpm) -> None:
    """Nothing is stopped by it, and nothing is good by it."""
    tpm.stop()
    done = challenge(counted, tpm)
    assert "the TPM can't count this (no TPM 2.0 answers)" in done.err
    assert "the TPM can't count this" in (counted.root / "dev/kmsg").read_text()
    assert "counter" not in ledger(counted)[-1]
    verified = here(counted, tpm, "ledger", "verify")
    assert (verified.status, "whole" in verified.out) == (3, False)
    assert "NOT EVALUATED  unlock-ledger  the TPM's counter" in verified.out
    assert COUNTED not in verified.err
    assert "1 entries behind the last number could be cut off unseen" in verified.err


def test_a_counter_that_was_removed(counted: Host, tpm: Tpm) -> None:
    tpm.tool("tpm2_nvundefine", "-C", "o", INDEX)
    done = here(counted, tpm, "ledger", "verify")
    assert done.status == 1 and "the TPM has no counter: it was cleared" in done.out
    # It can be begun again, which stays written down.
    assert here(counted, tpm, "ledger", "counter").status == 0
    lines = ledger(counted)[2:]
    assert [(line["event"], line["counter"]) for line in lines] == [
        *(("broken", 5), ("counter", 5)),
    ]


def test_another_hosts_ledger_is_not_compared(counted: Host) -> None:
    """The TPM is this machine's."""
    done = on(counted, "ledger", "verify")
    assert done.status == 3
    assert "NOT EVALUATED  unlock-ledger  the TPM's counter" in done.out
    assert "this machine's is another" in done.out


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("gone", "no TPM 2.0 answers"),
        ("owner", "the TPM's owner has set a password"),
        ("tool", "tpm2_nvreadpublic: exit status 7"),
        ("other", "already defined"),
    ],
)
def test_it_can_not_begin(alone: Host, tpm: Tpm, broken: str, words: str) -> None:
    if broken == "gone":
        tpm.stop()
    elif broken == "owner":
        tpm.tool("tpm2_changeauth", "-c", "owner", "secret")
    elif broken == "other":
        tpm.tool("tpm2_nvdefine", "-C", "o", "-s", "8", "-a", "ownerread|ownerwrite", INDEX)
    done = here(alone, tpm, "ledger", "counter", first="exit 7" if broken == "tool" else "")
    assert done.status == 3
    assert_clean_error(done, (words,), hint=broken in {"gone", "owner"})
    assert ledger(alone) == []


def test_a_line_that_can_not_be_written_takes_the_counter_back(alone: Host, tpm: Tpm) -> None:
    alone.put("var/lib/verity/ledger", "no line\n")
    done = here(alone, tpm, "ledger", "counter")
    assert (done.status, "its last line" in done.err) == (1, True)
    assert INDEX.encode() not in tpm.tool("tpm2_nvreadpublic")
