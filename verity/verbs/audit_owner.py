# SPDX-License-Identifier: Apache-2.0
"""Whose signature counts for what the owner of a host signs, in an audit: the role etc."""

from verity.formats.grants import Party, Role
from verity.trust.trusted import TrustedSet
from verity.values.errors import HostError
from verity.verbs.audit_host import AuditedHost


def etc_keys(host: AuditedHost) -> TrustedSet:
    """The keys of the owner's role etc. Raises HostError (``no-keys``) if nobody is trusted."""
    trusted = host.trusted(Role.ETC, Party.USER)
    if trusted is None:
        raise HostError(
            "no-keys",
            "no keys of the owner's role etc: who signed it can't be known",
            hint="the pin of the user, with a keyring that has this role",
        )
    return trusted
