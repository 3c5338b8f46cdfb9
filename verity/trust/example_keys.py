# SPDX-License-Identifier: Apache-2.0
"""The keys of keys-example/, whose private halves everybody can make: refused by their ids.

A test holds this list to the script that makes the keys.
"""

from collections.abc import Iterable

from verity.values.errors import ContentError

KEY_IDS = frozenset(
    {
        "568653848d90fef51042b96d30b221be83da409884bf81f7e902d803064d2341",  # vendor-root
        "7e0345809e4615dfc2642a37ed3bb56e9506d8ce221265c086db8b82e2b8a4d4",  # vendor-os
        "72e663e7cf48066726599f412b6d508cf85d2034661c76f74ff18f3c6fdda331",  # vendor-evidence
        "7d348a49af3ed5a30ad3f33a78d4afaeccc3742347c92ad9c1c45e38636feb0e",  # user-root
        "42fae690a8d09499fc59b7f76b133c5114c60031d421287d1f00f3e75a1e597e",  # user-etc
        "a7531db88d0df2661d991aed971d87d05b756e71191664ba6476c949c2efb0ae",  # user-extension
        "ffcac55e4275317a7db3fd196d04a366cba42e2c89f84b4365a5f6c46aea577f",  # user-policy
        "83522b56d99f500c5b17cd8632c2220e025a2d6a3cf9841cd4878e377a2f20a5",  # user-unlock
        "c29b2d8e0888900970b9f45363d1cbda73b416f1a1d359b5d09e88ff8aafd474",  # user-evidence
        "96336d29a816d4c2c3e68cfeb2d4b2b1651c9f242072284cc3b44b63cea5e1e2",  # vendor-ostree
    }
)


def refuse(key_ids: Iterable[str], *, label: str) -> None:
    """Raise ContentError (``example-key``) if one of them is an example."""
    for key_id in key_ids:
        if key_id in KEY_IDS:
            raise ContentError(
                "example-key",
                f"{label}: key {key_id} is one of keys-example/, whose private half everybody has",
                hint="`verity key generate FILE` makes one of your own; for a test,"
                " --allow-example-keys",
            )
