# SPDX-License-Identifier: Apache-2.0
"""The attacks that the gate must stop, each with its controls, in a real machine."""
