"""Runs jobs and pipelines. Each backend is a module with ``run(launch, request) -> Run``."""

import argparse
from dataclasses import replace

from ..aws import prices
from ..pipelines import definition
from ..pipelines.graph import Pipeline
from ..requests.options import Launch
from ..run import Request, Run
from ..settings.project import LaunchError


def run(launch: Launch, request: Request) -> Run:
    """Run a job on the backend that its launch names, and follow it to its end.

    Raises:
        LaunchError: The launch was rejected; nothing was started.
    """
    _check_no_plan(launch.options)
    if launch.options.backend == "sagemaker":
        from . import sagemaker

        return _with_cost(sagemaker.run(launch, request))
    from . import docker, local

    local.remove_abandoned()
    if launch.options.backend == "docker":
        return docker.run(launch, request)
    return local.run(launch, request)


def run_pipeline(pipeline: Pipeline) -> Run:
    """Run the steps of a pipeline, and follow them to the end.

    Raises:
        LaunchError: The launch was rejected; nothing was started.
    """
    _check_no_plan(pipeline.options)
    if pipeline.options.backend == "sagemaker":
        from . import execution, sources

        source = sources.find(pipeline)
        return _with_cost(execution.run(pipeline, definition.build(pipeline), source))
    from . import steps

    return steps.run(pipeline, run)


def _with_cost(run: Run) -> Run:
    return replace(run, cost=prices.cost(run.usage))


def deploy(pipeline: Pipeline) -> str:
    """Store the definition of a pipeline on SageMaker without starting it, and return its ARN.

    Raises:
        LaunchError: The launch was rejected.
    """
    from . import execution

    _check_no_plan(pipeline.options)
    return execution.deploy(pipeline, definition.build(pipeline))


def _check_no_plan(options: argparse.Namespace) -> None:
    if options.plan:
        raise LaunchError("argument plan: launch.plan() returns the request and starts nothing")


def clean() -> None:
    """Remove processes, containers and folders that killed launches left on this machine.

    Raises:
        LaunchError: Docker does not answer; containers and networks are not removed.
    """
    from . import docker, local

    local.remove_abandoned()
    docker.remove_abandoned()
