# SPDX-License-Identifier: Apache-2.0
"""Bytes to values and back. Pure: no files, no clock, no keys."""
