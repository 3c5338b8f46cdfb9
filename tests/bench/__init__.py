# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: our figure, the peer's figure from the same run, and their ratio."""
