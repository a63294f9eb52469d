"""A progress bar for terminals and for logs."""

import logging
import sys
from collections.abc import Iterable, Sequence
from typing import TypeVar

_SECONDS = 5.0
"""Between two lines in a log."""

_logger = logging.getLogger(__name__)
_T = TypeVar("_T")


def progress(items: Sequence[_T], what: str) -> Iterable[_T]:
    """Iterate with a progress bar on a terminal, or with a log line every few seconds."""
    from tqdm import tqdm

    if sys.stderr.isatty():
        return tqdm(items, desc=what)
    return tqdm(items, desc=what, file=_LogLines(), mininterval=_SECONDS, ascii=True)


class _LogLines:
    """A file for tqdm that writes each state of the bar to the log."""

    def write(self, text: str) -> None:
        if line := text.strip():
            _logger.info("%s", line)

    def flush(self) -> None:
        pass
