"""A pipeline: its steps, the jobs that they run and the metric."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..history.entries import PIPELINE
from ..history.reuse import Reused, Selection
from ..requests.options import Launch
from ..run import Request
from ..settings import project
from ..settings.metric import Metric


@dataclass(frozen=True)
class Step:
    """A job in a pipeline."""

    launch: Launch
    request: Request

    @property
    def job(self) -> str:
        return self.launch.job.name

    @property
    def name(self) -> str:
        """The name of the step and of its job's log; SageMaker names jobs without underscores."""
        return self.job.replace("_", "-")

    def parameter(self, option: str) -> str:
        """Return the name of the pipeline's parameter that sets an option of this job."""
        return f"{self.job}_{option}"


@dataclass(frozen=True)
class Pipeline:
    """A pipeline whose steps were all checked.

    On this machine, skipped jobs are not steps.
    """

    name: str
    """In SageMaker."""
    steps: Sequence[Step]
    options: argparse.Namespace
    """The launch's own options; the steps share ``backend``, ``code``, ``plan``, ``run_name`` and
    ``wait``."""
    metric: Metric | None
    """Decides whether the pipeline succeeds, with the limit of this launch; ``None`` if every
    result is good enough."""
    cache: bool
    """Whether steps may reuse the result of an earlier execution."""
    deployed: bool
    """Whether the definition is for executions that others start, such as a schedule."""
    selection: Selection = field(default_factory=Selection)
    """The jobs that run, and the results that they need of the others."""
    reused: Mapping[str, Reused] = field(default_factory=dict)
    """On this machine, the results of an earlier run that this one takes, by ``<option>.<job>``."""

    @property
    def stamp(self) -> str:
        """The commit that is launched, the same for all steps."""
        return self.steps[0].launch.stamp

    @property
    def running(self) -> Sequence[Step]:
        """The steps whose jobs run."""
        return [step for step in self.steps if step.job not in self.selection.skipped]

    @property
    def launch_name(self) -> str:
        """The name of the run on this machine, made like that of a job."""
        first = self.steps[0]
        launch_id = first.launch.name.removeprefix(f"{project.name()}-{first.name}-")
        return f"{project.name()}-{PIPELINE}-{launch_id}"

    def step(self, job: str) -> Step:
        """Return the step of a job."""
        return next(step for step in self.steps if step.job == job)
