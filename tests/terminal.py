"""A terminal that runs a command and can be closed before the command ends."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_ROWS = 40

_SECONDS = 60
"""How long a command may print nothing."""

_START = """\
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp("bash", ["bash", "-c", sys.argv[1]])
"""
"""Makes the standard input the terminal that sends SIGHUP when it is closed."""


@dataclass(frozen=True)
class Terminal:
    """A terminal in a folder."""

    folder: Path
    environment: Mapping[str, str]
    columns: int

    def type(self, command: str, close_after: str = "") -> str:
        """Run a command in bash to its end, and return what the terminal shows.

        Args:
            command: What is typed.
            close_after: Once the command has printed a line that begins like this, the terminal is
                closed.

        Raises:
            RuntimeError: The command has not printed such a line, or nothing for ``_SECONDS``.
        """
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, self.columns, 0, 0))
        process = subprocess.Popen(
            [sys.executable, "-c", _START, command],
            cwd=self.folder,
            env={**self.environment, "COLUMNS": str(self.columns), "LINES": str(_ROWS)},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        last_line = re.compile(rf"^{re.escape(close_after)}.*\n", re.MULTILINE)
        printed, has_ended = b"", False
        while not (has_ended or (close_after and last_line.search(_shown(printed)))):
            data = _read(ours)
            printed, has_ended = printed + data, not data
        os.close(ours)
        process.wait()
        if close_after and has_ended:
            raise RuntimeError(f"{command}: no line {close_after!r}:\n{_shown(printed)}")
        return _shown(printed)


def _read(terminal: int) -> bytes:
    """Return what is printed next; nothing once all who have the terminal open have ended."""
    if not select.select([terminal], [], [], _SECONDS)[0]:
        os.close(terminal)
        raise RuntimeError(f"nothing was printed for {_SECONDS} seconds")
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # so it is on Linux
        return b""


def _shown(printed: bytes) -> str:
    """Return the lines on the screen: what follows a carriage return replaces the line."""
    text = printed.decode(errors="replace").replace("\r\n", "\n")
    return re.sub(r"^.*\r", "", text, flags=re.MULTILINE)
