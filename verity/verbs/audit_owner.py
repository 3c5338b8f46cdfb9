# SPDX-License-Identifier: Apache-2.0
"""Whose signature counts for what the owner of a host signs, in an audit: the role etc."""

from verity.formats.grants import Party, Role
from verity.trust.trusted import TrustedSet
from verity.values.errors import HostError, VerityError
from verity.verbs.audit_host import AuditedHost


def etc_keys(host: AuditedHost) -> TrustedSet:
    """The keys of the owner's role etc. Raises HostError if nobody is trusted."""
    if host.roots is None or host.roots.unknown is not None:
        raise HostError(
            "no-keys",
            "no keys of the owner's role etc: who signed it can't be known",
            hint="the pin of the user, with a keyring that has this role",
        )
    try:
        return host.roots.of(Role.ETC, Party.USER)
    except VerityError as error:
        raise HostError("no-keys", error.message, hint=error.hint) from error


def sure(host: AuditedHost, error: VerityError) -> VerityError:
    """The error as what it is, or as one that could not be checked: where the auditor named keys
    and no keyring, that none of them signed says only that they are keys of something else."""
    named = host.roots is not None and host.roots.keyrings is None
    if not named or error.code != "bad-signature":
        return error
    return HostError(
        "other-keys",
        f"by none of the keys that were named: {error.message}",
        hint="--key names keys of the commit; for the owner's, --pin or the host's keyrings",
    )
