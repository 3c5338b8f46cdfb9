# SPDX-License-Identifier: Apache-2.0
"""What counts: keys, signatures, statements, verdicts. Pure."""
