# SPDX-License-Identifier: Apache-2.0
"""Settings of all tests: how many examples, and no example that fails for being slow."""

import os

from hypothesis import settings

settings.register_profile("quick", deadline=None)
settings.register_profile("full", deadline=None, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
