"""Progress bars for terminals and for logs."""

import logging
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

_SECONDS = 5.0
"""Between two lines in a log."""

_LOOK_SECONDS = 0.2
"""Between two looks at the number of bytes that were read."""

_logger = logging.getLogger(__name__)
_T = TypeVar("_T")


def progress(items: Sequence[_T], what: str) -> Iterable[_T]:
    """Iterate with a progress bar on a terminal, or with a log line every few seconds."""
    from tqdm import tqdm

    return tqdm(items, desc=what, **_style())


def reading(results: Iterable[_T], files: Sequence[Path]) -> Iterator[_T]:
    """Iterate over what was made of each file, with the progress in bytes of all of the files.

    On Linux the progress shows within a file, because the kernel counts what a process reads. On
    other systems it shows when a file is finished.
    """
    from tqdm import tqdm

    sizes = [file.lstat().st_size for file in files]
    total = sum(sizes)
    unread, finished, ended = _bytes_read(), 0, threading.Event()
    with tqdm(desc="read", total=total, unit="B", unit_scale=True, **_style()) as bar:

        def look() -> None:
            while not ended.wait(_LOOK_SECONDS):
                done = max(finished, min(_bytes_read() - unread, total))
                bar.update(done - bar.n)

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            for size, result in zip(sizes, results, strict=True):
                finished += size
                yield result
        finally:
            ended.set()
            thread.join()
        bar.update(total - bar.n)


def _bytes_read() -> int:
    """The bytes that this process has read from files; 0 where the system does not count them."""
    with suppress(OSError):
        counters = Path("/proc/self/io").read_text()
        return int(re.findall(r"^rchar: (\d+)", counters, re.MULTILINE)[0])
    return 0


def _style() -> dict[str, Any]:
    if sys.stderr.isatty():
        return {}
    return {"file": _LogLines(), "mininterval": _SECONDS, "ascii": True}


class _LogLines:
    """A file for tqdm that writes each state of the bar to the log."""

    def write(self, text: str) -> None:
        if line := text.strip():
            _logger.info("%s", line)

    def flush(self) -> None:
        pass
