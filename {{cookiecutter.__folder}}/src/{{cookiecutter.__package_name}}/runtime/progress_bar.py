"""Progress bars for terminals and for logs."""

import logging
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

_LOG_SECONDS = 5.0
"""Between two lines in a log."""

_POLL_SECONDS = 0.2
"""Between two readings of the number of bytes that were read."""

_logger = logging.getLogger(__name__)
_T = TypeVar("_T")


def progress(items: Sequence[_T], description: str) -> Iterable[_T]:
    """Iterate with a progress bar on a terminal, or with a line in the log every few seconds."""
    from tqdm import tqdm

    return tqdm(items, desc=description, **_tqdm_options())


def read_progress(results: Iterable[_T], files: Sequence[Path]) -> Iterator[_T]:
    """Iterate over the result of each file, and show how many bytes of the files were read.

    On Linux, the progress is updated while a file is read, because the kernel counts what a process
    reads. On other systems, it is updated after each file.
    """
    from tqdm import tqdm

    sizes = [file.lstat().st_size for file in files]
    total = sum(sizes)
    start, finished, ended = _bytes_read(), 0, threading.Event()
    with tqdm(desc="read", total=total, unit="B", unit_scale=True, **_tqdm_options()) as bar:

        def poll() -> None:
            while not ended.wait(_POLL_SECONDS):
                done = max(finished, min(_bytes_read() - start, total))
                bar.update(done - bar.n)

        thread = threading.Thread(target=poll, daemon=True)
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
    """Return how many bytes this process has read; 0 if the system does not count them."""
    with suppress(OSError):
        counters = Path("/proc/self/io").read_text()
        return int(re.findall(r"^rchar: (\d+)", counters, re.MULTILINE)[0])
    return 0


def _tqdm_options() -> dict[str, Any]:
    if sys.stderr.isatty():
        return {}
    return {"file": _LogStream(), "mininterval": _LOG_SECONDS, "ascii": True}


class _LogStream:
    """A stream that writes each state of a progress bar to the log."""

    def write(self, text: str) -> None:
        if line := text.strip():
            _logger.info("%s", line)

    def flush(self) -> None:
        pass
