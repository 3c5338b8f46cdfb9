# SPDX-License-Identifier: Apache-2.0
"""One module a verb: they orchestrate, and neither parse, print nor exit."""
