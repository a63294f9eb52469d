"""Acts on SIGTERM and SIGINT within moments, whatever the main thread does."""

import os
import signal
import threading
from collections.abc import Callable

_NUMBERS = (signal.SIGTERM, signal.SIGINT)


def on_signal(act: Callable[[signal.Signals], None]) -> None:
    """Call a function in a thread of its own at the first SIGTERM or SIGINT.

    Child processes keep the default: a signal ends them. To be called from the main thread.
    """
    # Python runs signal handlers in the main thread only, where native code (a query, a fit) can
    # take minutes. Python writes the number of a signal to the wakeup descriptor at once.
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def wait() -> None:
        number = 0
        while number not in _NUMBERS:  # other signals with a handler are written as well
            number = os.read(reader, 1)[0]
        act(signal.Signals(number))

    threading.Thread(target=wait, daemon=True).start()
    os.register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=_reset)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in _NUMBERS:
        signal.signal(number, lambda *_: None)
        signal.siginterrupt(number, False)  # system calls are not interrupted
    _unblock()  # whoever started the job may have blocked them


def ignore_signals() -> None:
    """Ignore SIGTERM and SIGINT until the process has ended; Python would reset a handler."""
    for number in _NUMBERS:
        signal.signal(number, signal.SIG_IGN)


def _block() -> None:
    # Until it is reset, a forked child would write its signals to the descriptor of the job.
    signal.pthread_sigmask(signal.SIG_BLOCK, _NUMBERS)


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _NUMBERS)


def _reset() -> None:
    signal.set_wakeup_fd(-1)
    for number in _NUMBERS:
        signal.signal(number, signal.SIG_DFL)
    _unblock()
