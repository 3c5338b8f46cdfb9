# SPDX-License-Identifier: Apache-2.0
"""Everything that is run to see that verity does what it says."""
