# SPDX-License-Identifier: Apache-2.0
"""A part of the story that happens meanwhile and is told afterwards."""

import io
import threading
from collections.abc import Callable

from tests.demo.story import Story


class Aside:
    """Begins at once, in a thread; ``join`` waits, tells it, and raises what it ended with.

    The thread ends with the process: a story that breaks elsewhere doesn't wait for it.
    """

    def __init__(self, story: Story, tell: Callable[[Story], None]) -> None:
        self._main = story
        self._text = io.StringIO()
        self._story = Story(out=self._text)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(tell,), daemon=True)
        self._thread.start()

    def _run(self, tell: Callable[[Story], None]) -> None:
        try:
            tell(self._story)
        except BaseException as error:
            self._error = error

    def join(self) -> None:
        """Its steps become the next ones of the main story."""
        self._thread.join()
        self._main.take(self._story, self._text.getvalue())
        if self._error is not None:
            raise self._error
