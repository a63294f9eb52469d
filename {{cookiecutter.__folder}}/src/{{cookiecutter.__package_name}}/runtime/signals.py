"""Handles SIGTERM and SIGINT immediately, even if the main thread is busy."""

import os
import signal
import threading
from collections.abc import Callable

_NUMBERS = (signal.SIGTERM, signal.SIGINT)


def on_signal(handle: Callable[[signal.Signals], None]) -> None:
    """Call a function in a new thread at the first SIGTERM or SIGINT.

    Child processes keep the default behavior: a signal ends them. Call this from the main thread.
    """
    # Python runs signal handlers only in the main thread, and only after native code (a query, a
    # fit) has returned, which can take minutes. It writes the number of a signal to the wakeup
    # descriptor immediately.
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def wait() -> None:
        number = 0
        while number not in _NUMBERS:  # other signals are written as well
            number = os.read(reader, 1)[0]
        handle(signal.Signals(number))

    threading.Thread(target=wait, daemon=True).start()
    os.register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=_reset)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in _NUMBERS:
        signal.signal(number, lambda *_: None)
        signal.siginterrupt(number, False)  # system calls are not interrupted
    _unblock()  # the parent process may have blocked them


def ignore_signals() -> None:
    """Ignore SIGTERM and SIGINT until the process ends. Python resets handlers before that."""
    for number in _NUMBERS:
        signal.signal(number, signal.SIG_IGN)


def _block() -> None:
    # A forked child writes its signals to the descriptor of the job until _reset() is called.
    signal.pthread_sigmask(signal.SIG_BLOCK, _NUMBERS)


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _NUMBERS)


def _reset() -> None:
    signal.set_wakeup_fd(-1)
    for number in _NUMBERS:
        signal.signal(number, signal.SIG_DFL)
    _unblock()
