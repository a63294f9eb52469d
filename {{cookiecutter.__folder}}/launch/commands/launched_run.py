"""A run as Python code and notebooks see it."""

from dataclasses import fields

from ..history import listing
from ..run import Run
from . import attach, table, tracking


class LaunchedRun(Run):
    """A run that can be followed and stopped, and that a notebook displays as a table."""

    def logs(self) -> "LaunchedRun":
        """Print its log, follow it to its end and return the run as it is then.

        Raises:
            LaunchError: There is no such job any more, or its log cannot be read.
        """
        return logs(self.name)

    def stop(self) -> "LaunchedRun":
        """Stop it, unless it has ended, and return the run as it is then.

        Raises:
            LaunchError: It cannot be stopped.
        """
        return of(attach.stop(self.name))

    def _repr_html_(self) -> str:
        pairs = [
            ("name", self.name),
            ("status", self.status),
            *self.outputs.items(),
            ("message", self.exit_message),
            ("metric", self.metric),
        ]
        return table.pairs_to_html([(name, value) for name, value in pairs if value])


def logs(name: str) -> LaunchedRun:
    """Print the log of a job or a run of the pipeline, follow it to its end, and return its run.

    Raises:
        LaunchError: There is no such job, or its log cannot be read.
    """
    entry = listing.find(name)
    run = attach.follow(entry)
    tracking.log_entry(entry, run)
    return of(run)


def of(run: Run) -> LaunchedRun:
    """Return a run as one that can be followed and stopped."""
    return LaunchedRun(**{each.name: getattr(run, each.name) for each in fields(run)})
