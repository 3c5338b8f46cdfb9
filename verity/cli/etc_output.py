# SPDX-License-Identifier: Apache-2.0
"""How the verbs of `verity etc` show files, differences and what was done."""

from typing import TYPE_CHECKING, Any

from verity.cli import output, ungranted
from verity.cli.signing_options import by_keys

# Each verb needs one of these: it is imported where it is used.
if TYPE_CHECKING:
    from verity.formats.dump import Entry
    from verity.values.findings import Finding
    from verity.verbs.etc_apply import Applied
    from verity.verbs.etc_compare import Difference
    from verity.verbs.etc_diff import Text
    from verity.verbs.etc_intent import Intent
    from verity.verbs.etc_sign import Prepared
    from verity.verbs.etc_status import Seen
    from verity.verbs.sign_proof import Proven


def print_signed(prepared: "Prepared", proven: "Proven", *, lasts: str, as_json: bool) -> None:
    """What was signed, and what was left out."""
    from verity.formats.dump import count_files
    from verity.verbs import sign_serials

    said = sign_serials.tree_of(prepared.opened)
    at = said.statement
    files = count_files(said.entries)
    manifest, grants = (at.subjects[name].hex() for name in ("manifest", "grants"))
    if as_json:
        ungranted.show(prepared.ungranted, as_json=True)
        output.record(
            "signed",
            {
                "stream": at.stream,
                "serial": at.serial,
                "files": files,
                "classes": dict(prepared.classes),
                "manifest_sha256": manifest,
                "grants_sha256": grants,
                "config": len(said.grants.config),
                "ungranted": len(prepared.ungranted),
                "new_contents": prepared.new_contents,
                "protected": prepared.protected,
                "key_ids": list(proven.key_ids),
            },
        )
        return
    output.line(f"signed    {files} files by {by_keys(proven.key_ids)}")
    output.line(f"as        stream {at.stream} serial {at.serial}, {lasts}")
    print_left_out(prepared)
    output.line(f"manifest  sha256:{manifest}")
    output.line(f"grants    sha256:{grants} ({len(said.grants.config)} config)")


def print_left_out(prepared: "Prepared") -> None:
    """What isn't signed, by class; what isn't granted; what was stored."""
    classes = sorted(prepared.classes.items())
    counted = ", ".join(f"{number} {name}" for name, number in classes)
    output.line(f"left out  {counted or 'nothing'}")
    output.line(
        f"store     {prepared.new_contents} new contents, {prepared.protected} of them with"
        " fs-verity"
    )
    ungranted.show(prepared.ungranted, as_json=False)


def print_others(seen: "Seen", *, as_json: bool) -> None:
    """Every file that isn't signed, with its class and why."""
    for path, other in sorted(seen.found.others.items()):
        rule = other.rule
        if as_json:
            fields = {"class": rule.file_class, "reason": rule.reason, "origin": rule.origin}
            output.record("unsigned", {**output.path_fields(path), **fields})
        else:
            output.line(
                f"{rule.file_class:<9} {output.shown(path)}: {output.one_line(rule.reason)}"
                f" ({output.one_line(rule.origin)})"
            )


def print_difference(one: "Difference", intent: "Intent", text: "Text", *, as_json: bool) -> None:
    """One file in its three states, and the text if there is one."""
    from verity.verbs.etc_status import described

    sides = (("vendor", one.default), ("signed", one.signed), ("now", one.now))
    if as_json:
        fields: dict[str, Any] = {
            **output.path_fields(one.path),
            "change": one.change,
            "what": list(one.what),
            "vendor_default": one.vendor,
            "signed_by": list(intent.signers),
            "stream": intent.stream,
            "serial": intent.serial,
            **{name: _fields(entry) for name, entry in sides},
        }
        if text.lines:
            fields["text"] = list(text.lines)
        if text.why_not:
            fields["no_text"] = text.why_not
        output.record("difference", fields)
        return
    what = f"  {', '.join(one.what)}" if one.what else ""
    output.line(f"{one.change:<8} {output.shown(one.path)}{what}")
    for name, entry in sides:
        if name == "vendor" and entry is None and one.default is None:
            output.line(f"         vendor  {_vendor_word(one)}")
        else:
            by = ""
            if name == "signed":
                by = (
                    f"  (serial {intent.serial} of {intent.stream}, by {', '.join(intent.signers)})"
                )
            output.line(f"         {name:<6}  {described(entry)}{by}")
    for line in text.lines:
        for part in line.split("\n"):
            output.line(output.one_line(part.replace("\t", "    ")))
    if text.why_not:
        output.line(f"         text    {output.one_line(text.why_not)}")


def print_loose(one: "Finding", *, as_json: bool) -> None:
    """A file whose contents aren't compared, with a mode or owner that lets others in."""
    if as_json:
        fields = output.path_fields(one.path or b"")
        output.record("loose", {**fields, "expected": one.expected, "found": one.found})
    else:
        output.line(f"loose    {one.object}  {one.found}, expected {one.expected}")


def print_applied(done: "Applied", *, dry_run: bool, as_json: bool) -> int:
    """What was done to each file, what is left, and the exit status: 1 if something differs, 3 if a
    home was left out."""
    steps = (
        ("removed", done.plan.remove),
        ("made", done.plan.make),
        ("put", done.plan.put),
        ("changed", done.plan.dress),
    )
    for word, entries in steps:
        for entry in entries:
            _step(word, entry.path, as_json=as_json)
    for path in done.plan.left:
        _step("left", path, as_json=as_json)
    for one in done.wrong:
        _step("differs", one.path, as_json=as_json)
    for finding in done.loose:
        print_loose(finding, as_json=as_json)
    for note in done.notes:
        output.message(f"note: {output.one_line(note)}")
    for home, why in sorted(done.left_out.items()):
        _left_out(home, why, as_json=as_json)
    changes = sum(len(entries) for _, entries in steps)
    for path, why in done.protected.failed if as_json else ():
        output.record("unprotected", {**output.path_fields(path), "why": why})
    if as_json:
        output.record(
            "applied",
            {
                "serial": done.intent.serial,
                "stream": done.intent.stream,
                "signed_by": list(done.intent.signers),
                "dry_run": dry_run,
                "finished": done.finished,
                "abandoned": done.abandoned,
                "changes": changes,
                "left": len(done.plan.left),
                "differs": len(done.wrong),
                "loose": len(done.loose),
                "left_out": len(done.left_out),
                "protected": done.protected.enabled,
                "unprotected": len(done.protected.failed),
            },
        )
    else:
        verb = "would be brought" if dry_run else "is"
        after = " (an interrupted run, ended)" if done.finished and not dry_run else ""
        if done.abandoned is not None:
            after = f" (that to serial {done.abandoned} was given up)"
        output.line(
            f"/etc {verb} {'to' if dry_run else 'at'} serial {done.intent.serial} of"
            f" {done.intent.stream}{after}: {changes} changes, {len(done.plan.left)} left"
        )
    if done.wrong:
        output.message("some files differ again: something writes them; `verity etc status`")
        return 1
    return 3 if done.left_out else 0


def _left_out(home: bytes, why: str, *, as_json: bool) -> None:
    if as_json:
        output.record("left-out", {**output.path_fields(home), "why": why})
    output.message(
        f"the home {output.shown(home)} was left out: {output.one_line(why)}; mend that and apply"
        " again"
    )


def print_forgotten(was_there: bool, *, as_json: bool) -> int:
    """That a journal was dropped, if there was one; the exit status."""
    if not was_there:
        output.message("nothing was interrupted")
        return 0
    if as_json:
        output.record("abandoned", {"as_is": True})
    else:
        output.line("the interrupted apply is forgotten, and /etc left as it is")
    output.message("`verity etc status` says what differs from the signed state before")
    return 0


def _step(word: str, path: bytes, *, as_json: bool) -> None:
    if as_json:
        output.record("step", {"step": word, **output.path_fields(path)})
    else:
        output.line(f"{word:<8} {output.shown(path)}")


def _vendor_word(one: "Difference") -> str:
    return "no default is known" if one.vendor == "unknown" else "no such file"


def _fields(entry: "Entry | None") -> dict[str, Any] | None:
    if entry is None:
        return None
    fields: dict[str, Any] = {"mode": f"{entry.mode:o}", "uid": entry.uid, "gid": entry.gid}
    if entry.digest is not None:
        fields["digest"] = f"sha256:{entry.digest.hex()}"
    if entry.target is not None:
        fields |= output.path_fields(entry.target, "target")
    if entry.xattrs:
        fields["xattrs"] = {output.shown(name): output.shown(value) for name, value in entry.xattrs}
    return fields
