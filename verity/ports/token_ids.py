# SPDX-License-Identifier: Apache-2.0
"""Ids of unlock tokens: random, so that no two that are ever made for one boot are the same."""

import secrets

from verity.formats.unlock import TOKEN_ID_SIZE


def new_token_id() -> bytes:
    """128 random bits."""
    return secrets.token_bytes(TOKEN_ID_SIZE)
