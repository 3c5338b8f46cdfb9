# SPDX-License-Identifier: Apache-2.0
"""The gate's answers to a call: a number, its name, what it means, and what to do about it.

The numbers are those of policy/gate/verity.h, the calls those of docs/formats.md section 11. A
number that this version does not know stays a refusal, by its number; nothing here calls the
gate.

Families: ``HostError`` where the call never got as far as the blob or the state (permission, a
busy gate, memory, another version), ``ContentError`` where the gate looked and said no.
"""

from enum import Enum

from verity.values.errors import ContentError, HostError, VerityError

ACCEPTED = 3000
FIRST, LAST = 3001, 3099


class Refusal(Enum):
    """What the gate refuses, and why: (number, what it says, what to do)."""

    # the call
    PERMISSION = (
        3001,
        "the caller has no CAP_SYS_ADMIN in the initial user namespace",
        "run as root on the host itself, not in a container",
    )
    REQUEST = (
        3002,
        "the request's size, version or a length is wrong",
        "loader, gate and this program are of one version: install them together",
    )
    MEMORY = (3003, "the caller's memory can't be read", "this is a defect, please report it")
    BUSY = (3004, "another upload is being committed", "run it again when the other is done")
    NO_UPLOAD = (
        3005,
        "the upload is not this thread's, or another one ended it",
        "run it again while nothing else imports",
    )
    NO_ROOM = (3006, "the gate got no memory for this thread", "free some memory and run it again")
    SEALED = (
        3007,
        "it is sealed, and takes this before the seal only",
        "put it into the boot bundle: it counts from the next boot on",
    )
    ORDER = (
        3008,
        "something that comes before it is missing: keys, then policy, then revocations and grants",
        "import the others first, or boot with a whole bundle",
    )
    UNSUPPORTED = (
        3009,
        "it does not know this kind or command: another version",
        "install loader, gate and this program together, and reboot",
    )
    # the blob
    KIND = (
        3010,
        "the blob is of no kind that a gate takes",
        "name a signed fragment of keys, policy, revocations or grants",
    )
    HEADER = (
        3011,
        "lengths, reserved bytes or numbers of the blob's header are wrong",
        "the file is damaged, or made by another version: have it made and signed again",
    )
    PARTY_ROLE = (
        3012,
        "this party or role may not sign such a blob",
        "sign it with a key of the party and role that may",
    )
    STREAM = (
        3013,
        "the policy names no such stream of this party and role",
        "add the stream to the policy, and have the policy signed with its next serial",
    )
    SERIAL = (
        3014,
        "its serial is not newer than what the gate has",
        "sign it with a higher serial; `verity lockdown status` shows the present one",
    )
    EQUIVOCATION = (
        3015,
        "the gate has other contents under the same serial",
        "somebody signed two different things as one: find out who, then sign a higher serial",
    )
    EXPIRED = (
        3016,
        "it has expired",
        "have it signed again with a later date, and check the clock",
    )
    UNSORTED = (
        3017,
        "a table is not sorted, or has something twice",
        "the file is damaged, or made by another program: have it made and signed again",
    )
    FLAGS = (
        3018,
        "a flag is unknown, or more than this role may grant",
        "an extension grants exec, library and script only",
    )
    TABLE = (
        3019,
        "it has a table that this role may not fill",
        "an extension fills code only, etc config only, and os all",
    )
    ENTRY = (
        3020,
        "it has an entry that no blob may hold",
        "the file is damaged, or made by another program: have it made and signed again",
    )
    FULL = (
        3021,
        "the gate has no room for so many digests",
        "sign a smaller tree: `verity lockdown status` shows the room; nothing was changed",
    )
    TUPLES = (
        3022,
        "one digest has more elevations than the gate can hold",
        "give programs with equal contents the same owner and set-id bits",
    )
    FIFTH_STREAM = (
        3023,
        "four other streams grant one of its digests already",
        "leave the file out of this stream: it is granted without it",
    )
    FLOOR = (
        3024,
        "its serial is older than what this host had before",
        "get the stream's newest grants; `verity lockdown status` shows what is in",
    )
    REVOKED_SERIAL = (
        3025,
        "its signer revoked this serial and those before it",
        "get newer grants of the stream",
    )
    THIRD_STREAM = (
        3026,
        "two other streams grant the configuration at one of its paths already",
        "let one stream grant that file: two are for the time in which it moves to another",
    )
    PATHS = (
        3027,
        "the gate has no room for so many configuration paths",
        "guard fewer places in the policy, or sign fewer files; nothing was changed",
    )
    # the signatures
    TEMPLATE = (
        3030,
        "a signature is not in the one PKCS#7 template",
        "sign it with verity: docs/formats.md section 7 has the bytes",
    )
    NO_KEYS = (
        3031,
        "the gate has no keys of this party and role",
        "add the role to the party's keys, and boot with the new bundle",
    )
    THRESHOLD = (
        3032,
        "fewer distinct owners have signed these very bytes than must",
        "a damaged file and a foreign key look the same here: compare the file with its source,"
        " then have the missing owners sign",
    )
    REVOKED_KEY = (
        3033,
        "without the keys that are revoked, fewer owners of the role signed it than must",
        "have it signed anew with keys that still count; grants need a higher serial, too",
    )
    # the seal
    NOT_READY = (
        3040,
        "it has no keys, no policy or no grants yet",
        "import them first, or load it with a whole boot bundle",
    )
    FOREIGN_PROGRAM = (
        3041,
        "a BPF program that can change what kernel functions return is loaded",
        "`bpftool prog` lists them (modify-return, ext, lsm_cgroup, or a cgroup_sysctl that"
        " sets the return value): end who loaded it",
    )
    MODE = (
        3042,
        "the signed policy does not say sealed",
        "sign a policy with the mode sealed and a higher serial, and boot with it",
    )
    NOT_BOOTING = (
        3043,
        "no initramfs loaded it, or the root was entered already",
        "verity-load --enter is for an initramfs that has loaded the gate with --boot",
    )
    # the unlock
    NOT_SEALED = (
        3050,
        "it is not sealed, so there is nothing to unlock",
        "`verity lockdown status` shows its state",
    )
    NONCE = (
        3051,
        "the token is for another boot, of this host or another",
        "make a new challenge here, `verity unlock challenge`, and have that signed",
    )
    HOST = (
        3052,
        "the token is for another host",
        "make the challenge on this host; a gate that was loaded without a host id takes no token",
    )
    POLICY_SERIAL = (
        3053,
        "the token is for another policy than the one that the gate has",
        "make a new challenge here, `verity unlock challenge`, and have that signed",
    )
    SCOPE = (
        3054,
        "the scope is unknown, or the policy never opens it",
        "`verity policy show` has the [[unlock]] lines: ask for a scope that they open",
    )
    OPERAND = (
        3055,
        "the digest or path is malformed, or it is of the trust files, which no token opens",
        "below /etc/verity, /usr/lib/verity, /var/lib/verity, /boot and the gate's pins nothing is"
        " ever opened: sign what belongs there",
    )
    DURATION = (
        3056,
        "it would last longer than the policy allows for this scope",
        "`verity policy show` has the [[unlock]] lines: ask for less time",
    )
    APPLY_BEFORE = (
        3057,
        "it had to be applied earlier: the host's boot clock is past that",
        "make a new challenge here, `verity unlock challenge`, and have that signed",
    )
    APPLY_AHEAD = (
        3058,
        "it could be applied for more than a day",
        "have it signed with an earlier apply-before",
    )
    USED = (
        3059,
        "this token was taken before in this boot",
        "a token opens once: have another one signed",
    )
    USED_FULL = (
        3060,
        "so many tokens were taken in this boot that there is no room for another",
        "reboot: the next boot begins with none",
    )
    NO_UNLOCK = (
        3061,
        "no live token has this id",
        "`verity lockdown status` lists them; it may have ended already",
    )

    def __init__(self, number: int, says: str, hint: str) -> None:
        self.number = number
        self.says = says
        self.hint = hint

    @property
    def word(self) -> str:
        """The name in output and JSON, such as ``fifth-stream``."""
        return self.name.lower().replace("_", "-")


_NUMBERS = {refusal.number: refusal for refusal in Refusal}
_NOT_JUDGED = {
    Refusal.PERMISSION,
    Refusal.REQUEST,
    Refusal.MEMORY,
    Refusal.BUSY,
    Refusal.NO_UPLOAD,
    Refusal.NO_ROOM,
    Refusal.UNSUPPORTED,
}


def refusal(number: int, what: str) -> VerityError:
    """The error for an answer that isn't ``ACCEPTED``; ``what`` was to be done."""
    found = _NUMBERS.get(number)
    if found is None:
        return ContentError(
            "gate-refused",
            f"{what}: the gate refuses it with {number}, which this version does not know",
            hint="the gate is newer than this program: install both together",
        )
    family = HostError if found in _NOT_JUDGED else ContentError
    return family(
        f"gate-{found.word}",
        f"{what}: the gate refuses it ({found.word}): {found.says}",
        hint=found.hint,
    )
