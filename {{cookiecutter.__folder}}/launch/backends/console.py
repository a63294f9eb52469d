"""Prints the output of several hosts as it is written."""

import codecs
import os
import re
import select
import sys
import threading
import time
from collections.abc import Callable
from typing import IO

_CHUNK = 1 << 16
"""Maximum number of bytes per read, and of buffered characters of an unfinished line."""

_HOLD_SECONDS = 0.1
"""How long an unfinished line waits for its end before it is printed as it is."""

_QUIET_SECONDS = 1.0
"""How long the output of a host that has ended may be silent before it counts as complete."""

_PIECE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


class Console:
    """Prints the output of hosts, with the name of the host before each line."""

    def __init__(self, record: Callable[[str], None] = lambda _: None) -> None:
        """Args:
        record: Called with everything that is printed, even after the output was closed.
        """
        self._record = record
        self.closed = False
        """Whether the output was closed, as after ``| head``."""
        self._broken = False
        self._lock = threading.Lock()
        self._last = ("", "\n")

    def write(self, host: str, text: str) -> None:
        """Print text of a host; a line that another host has begun is ended first."""
        with self._lock:
            for piece in _PIECE.findall(text):
                last_host, ending = self._last
                if last_host != host and ending != "\n":
                    self._print("\n")
                continued = last_host == host and ending == ""
                self._print(piece if continued else f"{host} | {piece}")
                self._last = host, piece[-1] if piece[-1] in "\r\n" else ""

    def copy(self, host: str, stream: IO[bytes], ended: threading.Event) -> None:
        """Print a host's output to its end.

        A process that outlives its host may keep the stream open: once ``ended`` is set, silence
        ends it, too.
        """
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        held, quiet_since = "", time.monotonic()
        with stream:
            while True:
                if select.select([stream], [], [], _HOLD_SECONDS)[0]:
                    data = os.read(stream.fileno(), _CHUNK)
                    if not data:
                        break
                    held += decoder.decode(data)
                    complete = max(held.rfind("\n"), held.rfind("\r")) + 1
                    if len(held) - complete > _CHUNK:
                        complete = len(held)
                    self.write(host, held[:complete])
                    held, quiet_since = held[complete:], time.monotonic()
                elif held:
                    self.write(host, held)
                    held = ""
                elif ended.is_set() and time.monotonic() - quiet_since > _QUIET_SECONDS:
                    break
        self.write(host, held + decoder.decode(b"", final=True))

    def _print(self, text: str) -> None:
        self._record(text)
        if self.closed or self._broken:
            return
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            self.closed = True
        except OSError as error:
            self._broken = True
            print(f"the output can no longer be shown: {error.strerror}", file=sys.stderr)
