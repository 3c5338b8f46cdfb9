# SPDX-License-Identifier: Apache-2.0
"""Area written of an audit: what granted programs wrote where they may, since it was acknowledged.

Accounts are judged by themselves, too: a second uid 0 and an empty password are wrong however often
somebody acknowledged them. Everything else is held against the record of `verity acknowledge`;
without one the difference is not evaluated. Units under /run/systemd that are gone are no finding:
they come and go.

What it does not do: show a password's digest, judge what a unit's command would do, or write.
"""

import stat
from collections.abc import Iterator, Mapping
from dataclasses import replace

from verity.formats import accounts
from verity.formats.acknowledged import Stored, Written
from verity.formats.dump import printable
from verity.formats.statement import format_time
from verity.ports import acknowledged as record
from verity.ports import places
from verity.trust import acknowledged as trust
from verity.values.audit import Area, AreaResult, Check, Covered, Severity
from verity.values.errors import ContentError, HostError, VerityError
from verity.values.findings import Finding, Link, NotEvaluated
from verity.verbs import audit_owner, written, written_words
from verity.verbs.audit_host import AuditedHost
from verity.verbs.written import Places, State


def _check(name: str, severity: Severity, title: str) -> Check:
    return Check(id=f"written-{name}", area=Area.WRITTEN, severity=severity, title=title)


UID_ZERO = _check("uid-zero", Severity.CRITICAL, "no account but root has the uid 0")
NO_PASSWORD = _check("no-password", Severity.HIGH, "no account has an empty password")
ACCOUNTS = _check("accounts", Severity.HIGH, "accounts are as acknowledged")
UNITS = _check("units", Severity.HIGH, "transient and generated units are as acknowledged")
JOBS = _check("jobs", Severity.HIGH, "what cron and at run is as acknowledged")
FILES = _check("files", Severity.MEDIUM, "other files that programs write are as acknowledged")
RECORD = _check("record", Severity.HIGH, "what was acknowledged is whole, and signed if it says so")

CHECKS = (UID_ZERO, NO_PASSWORD, ACCOUNTS, UNITS, JOBS, FILES, RECORD)

_COMPARED = (ACCOUNTS, UNITS, JOBS, FILES)
_ACKNOWLEDGE = "`verity acknowledge` shows the difference, and takes it as it is"
_PASSWD, _SHADOW = b"/etc/passwd", b"/etc/shadow"


def examine(host: AuditedHost) -> AreaResult:
    """Ask all of it.

    1. What is there.
    2. Accounts, by themselves.
    3. The record, and who signed it.
    4. Each file against it.
    """
    # 1. What is there.
    try:
        policy = None if host.policy is None else host.policy.policy
        where = written.places(host.root, policy)
        state = written.read(host.root, where, live=host.live)
    except VerityError as error:
        return AreaResult(
            area=Area.WRITTEN,
            not_evaluated=tuple(_gap(check, error, str(host.root)) for check in CHECKS),
        )
    if not state.counts and not state.gaps:
        why = "nothing is here in the places that programs of a host write to"
        return AreaResult(area=Area.WRITTEN, not_applicable={one.id: why for one in CHECKS})
    gaps = [
        NotEvaluated(
            check=_about(gap.path).id,
            object=printable(gap.path),
            path=gap.path,
            why=gap.why,
            hint=gap.hint,
        )
        for gap in state.gaps
    ]
    # 2. Accounts.
    findings = [*_uid_zero(state), *_no_password(state)]
    gaps += _unread_accounts(state)
    result = AreaResult(
        area=Area.WRITTEN,
        counts=state.counts,
        coverage=_coverage(state),
        not_applicable={} if host.live else {UNITS.id: "a tree that doesn't run has no /run"},
    )
    # 3. The record.
    stored, found = _record(host)
    findings += [one for one in found if isinstance(one, Finding)]
    gaps += [one for one in found if isinstance(one, NotEvaluated)]
    notes: tuple[str, ...] = ()
    if stored is not None:
        # 4. Each file.
        since = format_time(stored.record.issued)
        by = "nobody signed it, so root could have written it"
        if stored.envelope is not None:
            by = "signed by the owner"
        notes = (f"what programs write is compared with what was acknowledged at {since}: {by}",)
        findings += _compared(stored, state, where)
    return replace(
        result, findings=tuple(findings), not_evaluated=tuple(gaps), notes=(*result.notes, *notes)
    )


def _record(host: AuditedHost) -> tuple[Stored | None, list[Finding | NotEvaluated]]:
    """What counts as acknowledged, or why nothing does."""
    label = str(host.root / places.ACKNOWLEDGED)
    stored: Stored | None = None
    try:
        stored = record.read(host.root)
        if stored is None:
            raise HostError(
                "not-acknowledged",
                "nothing was acknowledged on this host yet, so there is nothing to compare with",
                hint="look at these files once, then `verity acknowledge`",
            )
        if stored.envelope is not None:
            _verify(host, stored)
    except ContentError as error:
        rest = HostError("no-record", "what was acknowledged doesn't count", hint=error.hint)
        return None, [
            Finding(
                check=RECORD.id,
                link=Link.SIGNATURE if error.code == "bad-signature" else Link.FILE,
                object=label,
                problem=error.message,
                expected="a whole record, and a signature of the owner's role etc if there is one",
                found=error.code,
                remedy=error.hint or _ACKNOWLEDGE,
            ),
            *(_gap(check, rest, label) for check in _COMPARED),
        ]
    except HostError as error:
        checks = _COMPARED if error.code == "not-acknowledged" else (*_COMPARED, RECORD)
        return None, [
            _gap(check, error, label) for check in checks if host.live or check is not UNITS
        ]
    return stored, []


def _verify(host: AuditedHost, stored: Stored) -> None:
    try:
        trust.verify(stored, audit_owner.etc_keys(host))
    except VerityError as error:
        raise audit_owner.sure(host, error) from error


def _compared(stored: Stored, state: State, where: Places) -> Iterator[Finding]:
    before = {one.path: one for one in stored.record.files if where.class_of(one.path) is not None}
    since = f"as acknowledged at {format_time(stored.record.issued)}"
    hidden = [gap.path for gap in state.gaps]
    for path in sorted(before.keys() | state.files.keys()):
        old, new = before.get(path), state.files.get(path)
        if new is None and (path.startswith(written.RUN) or _inside(path, hidden)):
            continue  # it came and went, or it is told as a gap
        words = written_words.differences(old, new)
        if not words:
            continue
        yield Finding(
            check=_about(path).id,
            link=Link.FILE,
            object=printable(path),
            path=path,
            problem=f"{len(words)} difference{'s' * (len(words) > 1)} to what was acknowledged",
            expected=since if old is not None else f"no such file, {since}",
            found=written_words.shortened(words),
            remedy=f"if nobody you know did that, undo it; else {_ACKNOWLEDGE}",
        )


def _about(path: bytes) -> Check:
    if path in accounts.FILES:
        return ACCOUNTS
    if path.startswith(b"/run/systemd/"):
        return UNITS
    return JOBS if path.startswith(b"/var/spool/") else FILES


def _uid_zero(state: State) -> Iterator[Finding]:
    for name, fields in _items(state, _PASSWD).items():
        if "malformed" in fields or name == "root" or accounts.is_of_nis(name):
            continue
        if accounts.is_uid_zero(fields.get("uid", "")):
            yield Finding(
                check=UID_ZERO.id,
                link=Link.FILE,
                object=printable(_PASSWD),
                path=_PASSWD,
                problem=f"the account {name} is root by another name",
                expected="no uid 0 but root's",
                found=f"{name}: uid {fields.get('uid', 'empty')}",
                remedy=f"`userdel -f {name}`, and look for what it did",
            )


def _no_password(state: State) -> Iterator[Finding]:
    for path in (_PASSWD, _SHADOW):
        for name, fields in _items(state, path).items():
            if fields.get(accounts.PASSWORD) == accounts.EMPTY and not accounts.is_of_nis(name):
                yield Finding(
                    check=NO_PASSWORD.id,
                    link=Link.FILE,
                    object=printable(path),
                    path=path,
                    problem=f"the account {name} has an empty password: anyone can become it",
                    expected="a password, or a locked one",
                    found=f"{name}: empty",
                    remedy=f"`passwd -l {name}`, or set a password",
                )


def _unread_accounts(state: State) -> Iterator[NotEvaluated]:
    """What may name an account all the same: libc follows links, and takes lines with fields too
    few or too many."""
    hidden = {gap.path: gap.why for gap in state.gaps}
    for path, checks in ((_PASSWD, (UID_ZERO, NO_PASSWORD)), (_SHADOW, (NO_PASSWORD,))):
        why = hidden.get(path, "")
        found: Written | None = state.files.get(path)
        if found is not None and not stat.S_ISREG(found.mode):
            why = "it is no regular file, so its accounts were not looked at"
        lines = [name for name, one in _items(state, path).items() if "malformed" in one]
        if lines:
            why = f"{', '.join(lines[:3])}: not the fields of an account, and libc may take it so"
        taken = [name for name in _items(state, path) if accounts.is_of_nis(name, taken=True)]
        if taken and not why:
            why = f"{', '.join(taken[:3])}: accounts that NIS has, which are not in this file"
        if why:
            for check in checks:
                yield NotEvaluated(
                    check=check.id,
                    object=printable(path),
                    path=path,
                    why=why,
                    hint="look at it by hand, and mend it: `pwck` shows what is wrong",
                )


def _items(state: State, path: bytes) -> Mapping[str, Mapping[str, str]]:
    found: Written | None = state.files.get(path)
    return {} if found is None else found.said


def _coverage(state: State) -> dict[Covered, int]:
    """Of files outside of /etc alone: those are counted by the area etc."""
    outside = [path for path in state.files if not path.startswith(b"/etc/")]
    return {Covered.HASHED: len(outside)} if outside else {}


def _inside(path: bytes, hidden: list[bytes]) -> bool:
    return any(path == gap or path.startswith(gap + b"/") for gap in hidden)


def _gap(check: Check, error: VerityError, label: str) -> NotEvaluated:
    return NotEvaluated(check=check.id, object=label, why=error.message, hint=error.hint or "")
