# SPDX-License-Identifier: Apache-2.0
"""The demonstration: the chain on real input, each step with the command that it runs."""
