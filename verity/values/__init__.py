# SPDX-License-Identifier: Apache-2.0
"""Values that every room may use: errors, digests, facts. Standard library only."""
