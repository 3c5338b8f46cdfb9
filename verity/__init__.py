# SPDX-License-Identifier: Apache-2.0
"""verity: signed content for Linux hosts, from a key to a decision in the kernel."""

__version__ = "0.1.0"
