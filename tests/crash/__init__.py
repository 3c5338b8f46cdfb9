# SPDX-License-Identifier: Apache-2.0
"""Power cuts and kills in the middle of the work: what was reported has to hold."""
