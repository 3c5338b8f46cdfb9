# SPDX-License-Identifier: Apache-2.0
"""What the comparison does to fapolicyd and to IMA themselves, as rows/itself.py does to the gate.

Root does it, and what shows whether it worked is then run by whom the mechanism is for: an ordinary
user for fapolicyd, whose recommended rules exempt root; root for IMA's rules, which say so.
"""

from ..attack import Attack
from ..ground import UNSIGNED, WORK

_USER = "setpriv --reuid=1000 --regid=1000 --clear-groups"
_COPY = f"{WORK}/copy"
_AWAIT = (
    "for try in $(seq 600); do"
    f" {_USER} {UNSIGNED}/program >/dev/null 2>&1 || exit 0; sleep 0.2; done; exit 1"
)
_START = f"systemctl start fapolicyd; ({_AWAIT})"
IMA_FILES = "/run/ima"
"""Holds `other.der` and `other.xattr`: a certificate of a foreign key, and its signature of
unsigned/program in hexadecimal."""


def _daemon(name: str, act: str, cleanup: str) -> Attack:
    return Attack(group=24, name=name, act=act, cleanup=cleanup, reason="")


FAPOLICYD = (
    _daemon("daemon killed", f"kill -9 $(pidof fapolicyd); {_USER} {UNSIGNED}/program", _START),
    _daemon(
        "service stopped",
        f"systemctl stop fapolicyd; {_USER} {UNSIGNED}/program",
        _START,
    ),
    _daemon(
        "file added to the trust list",
        f"cp {UNSIGNED}/program {_COPY} && fapolicyd-cli --file add {_COPY} --trust-file attack"
        f" >&2 && systemctl restart fapolicyd && ({_AWAIT}) && {_USER} {_COPY}",
        f"rm -f {_COPY} /etc/fapolicyd/trust.d/attack; systemctl restart fapolicyd; ({_AWAIT})",
    ),
    _daemon(
        "rule put before the others",
        "echo 'allow perm=any all : all' >/etc/fapolicyd/rules.d/00-attack.rules &&"
        f" systemctl restart fapolicyd && sleep 2 && {_USER} {UNSIGNED}/program",
        f"rm /etc/fapolicyd/rules.d/00-attack.rules; systemctl restart fapolicyd; ({_AWAIT})",
    ),
)

IMA = (
    Attack(
        group=21,
        name="another key in the keyring",
        act=f"keyctl padd asymmetric '' %keyring:_ima <{IMA_FILES}/other.der >&2 && echo ran",
        reason="",
    ),
    Attack(
        group=21,
        name="another policy",
        act="echo 'dont_appraise' >/sys/kernel/security/ima/policy && echo ran",
        reason="",
    ),
    Attack(
        group=21,
        name="signature of a foreign key",
        setup=f"setfattr -n security.ima -v $(cat {IMA_FILES}/other.xattr) {UNSIGNED}/program",
        act=f"{UNSIGNED}/program",
        cleanup=f"setfattr -x security.ima {UNSIGNED}/program",
        reason="",
        signed="",  # it would lose its signature; that it runs is asked after each row
    ),
)

HANGS = "hangs"
RUNS = "runs"
# Everything but the program is built in, and a pipe is no file that anybody opens.
WHILE_STOPPED = f"""
stopped=$(pgrep -x -d " " "$PROCESSES")
[ -z "$stopped" ] || kill -STOP $stopped
coproc {{ /usr/bin/true && echo done; }}
from=${{COPROC[0]}}
if read -r -t 10 -u $from answer; then said={RUNS}; else said={HANGS}; fi
[ -z "$stopped" ] || kill -CONT $stopped
[ $said = {RUNS} ] || read -r -t 60 -u $from answer
echo $said ${{answer-}}
"""
"""For bash: whether a program runs that is started while the processes named $PROCESSES are
stopped, and whether it does at last."""
