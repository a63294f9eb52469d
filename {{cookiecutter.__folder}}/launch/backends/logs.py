"""Prints the log of a job from CloudWatch as it grows."""

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from {{ cookiecutter.__package_name }} import runtime

from ..settings.project import LaunchError

GROUP = "/aws/sagemaker/ProcessingJobs"

LATE_SECONDS = 60.0
"""How long after a newer line CloudWatch may still deliver an older one."""

Call = Callable[..., Mapping[str, Any] | None]
"""Calls an operation of CloudWatch Logs by its name in boto3.

Returns ``None`` if there is no such log group, and raises ``LaunchError`` if the call fails.
"""


class Log:
    """The log of a job: a stream for each host, named ``<job>/<host>-<number>``.

    One call reads the streams of all hosts. Because lines may arrive late and out of order, each
    reading goes back by ``LATE_SECONDS`` and skips the lines that were printed before.
    """

    def __init__(self, job: str, created: datetime, call: Call) -> None:
        self.failed = False
        """Whether the last reading failed."""
        self.was_read = False
        """Whether any reading succeeded."""
        self.calls = 0
        """How many calls the last reading has made."""
        self._streams = f"{job}/"
        self._call = call
        self._problem_printed = False
        self._newest: dict[str, tuple[int, bool]] = {}
        """For each host: the time of its newest line, and whether that line ends the job."""
        self._printed: dict[str, int] = {}
        """The times of printed lines that the next reading returns again, by their ids."""
        self._start = int((created.timestamp() - LATE_SECONDS) * 1000)
        self._next_page = ""
        self._began = 0.0
        self._clock_offset = -math.inf
        """The minimum number of seconds by which the hosts' clock is ahead of the caller's."""

    @property
    def finished_hosts(self) -> int:
        """The number of hosts whose newest line is the last one of a successful job."""
        return sum(finished for _, finished in self._newest.values())

    @property
    def pending(self) -> bool:
        """Whether more pages follow the one that was read last."""
        return bool(self._next_page)

    def read(self, now: float) -> bool:
        """Print what is new, and return whether anything was new.

        If the log cannot be read, this is printed once and the job is still followed.

        Args:
            now: The time in seconds, on a clock that is never set back.
        """
        self.calls = 0
        try:
            any_new = self._read(now)
        except LaunchError as error:
            self.failed = True
            self._next_page = ""
            if not self._problem_printed:
                text = f"the log cannot be read, which does not affect the job: {error}"
                print(text, flush=True)
                self._problem_printed = True
            return False
        self.failed, self.was_read = False, True
        return any_new

    def _read(self, now: float) -> bool:
        """Read pages to the last one, or to one without events.

        CloudWatch searches piece by piece and may return empty pages. The next reading continues
        after such a page, so that a job that logs nothing costs one call for each reading.
        """
        any_new = False
        while True:
            if not self._next_page:
                self._began = now
            token = {"nextToken": self._next_page} if self._next_page else {}
            self.calls += 1
            page = self._call(
                "filter_log_events",
                logGroupName=GROUP,
                logStreamNamePrefix=self._streams,
                startTime=self._start,
                **token,
            )
            if page is None:  # no job in this account has logged anything yet
                self._next_page = ""
                return any_new
            for event in page["events"]:
                any_new |= self._print(event, now)
            self._next_page = page.get("nextToken", "")
            if not self._next_page:
                self._move_start()
            if not self._next_page or not page["events"]:
                return any_new

    def _print(self, event: Mapping[str, Any], now: float) -> bool:
        """Print a line unless it was printed before, and return whether it was printed."""
        stream, time, message = event["logStreamName"], event["timestamp"], event["message"]
        if event["eventId"] in self._printed or not stream.startswith(self._streams):
            return False
        host = stream.removeprefix(self._streams).rpartition("-")[0]
        print(f"{host} | {message.rstrip()}", flush=True)
        self._printed[event["eventId"]] = time
        self._clock_offset = max(self._clock_offset, time / 1000 - now)
        if time >= self._newest.get(host, (0, False))[0]:
            self._newest[host] = time, runtime.FINISHED in message
        return True

    def _move_start(self) -> None:
        """Let the next reading start shortly before this one, in the time of the hosts."""
        start = (self._began + self._clock_offset - LATE_SECONDS) * 1000
        self._start = int(max(self._start, start))
        self._printed = {key: time for key, time in self._printed.items() if time >= self._start}
