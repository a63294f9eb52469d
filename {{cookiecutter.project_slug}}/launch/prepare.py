"""From what is asked for to what will be done: all that can be refused is refused here."""

from argparse import Namespace
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from . import docker, here, hosts, project, request, sagemaker, storage
from .options import Call
from .project import ROOT, LaunchError
from .run import Run


@dataclass(frozen=True)
class Plan:
    """A launch that nothing speaks against."""

    call: Call
    request: request.Request
    outputs: Mapping[str, str]
    """Addresses by option."""

    @property
    def options(self) -> Namespace:
        return self.call.options

    def start(self) -> Run:
        """Run the job in its place. A job that fails is no error, but a ``Run``."""
        if self.options.plan:
            raise LaunchError("a plan is not started: leave out --plan")
        if self.options.where == "sagemaker":
            return sagemaker.run(self.call, self.request, self.outputs)
        in_docker = self.options.where == "docker"
        place = docker.place(self.request) if in_docker else here.place(self.call)
        return hosts.run(self.call, self.request, self.outputs, place)


def prepare(call: Call, later: Collection[str] = ()) -> Plan:
    """Look at what costs least first: the limits of the API, then this machine, then AWS.

    The inputs ``later`` will be written by another job before this one starts.
    """
    options = call.options
    if options.where == "sagemaker":
        project.require("S3_BUCKET")
        project.require("SAGEMAKER_ROLE_ARN")
    elif not options.wait:
        raise LaunchError(f"argument --no-wait: nothing runs on after --where {options.where}")
    wanted = request.build(call, options.image or project.image())
    request.check("CreateProcessingJob", wanted)
    outputs = _outputs(call, wanted)
    named = [(item.option, call.channels.get(item.option)) for item in call.job.inputs]
    inputs = [(option, address) for option, address in named if address and option not in later]
    for option, address in sorted(inputs, key=lambda each: storage.is_s3(each[1])):
        storage.check_input(option, address)
    _check_places(outputs, {**call.channels, **outputs})
    for option, address in outputs.items():
        storage.check_output(option, address, options.overwrite)
    if options.where == "docker" and not options.plan:
        docker.check_image(wanted["AppSpecification"]["ImageUri"])
    if options.where == "sagemaker" and not options.image:
        wanted["AppSpecification"]["ImageUri"] = sagemaker.image()
        request.check("CreateProcessingJob", wanted)
    return Plan(call, wanted, outputs)


def _outputs(call: Call, wanted: request.Request) -> dict[str, str]:
    """Where each output will lie: as it was named, or in the folder of the run."""
    channels = call.job.outputs
    options = [channel.option for channel in channels if channel.option in call.channels]
    named = {option: call.channels[option] for option in options}
    if call.options.where == "sagemaker":
        if local := [option for option, address in named.items() if not storage.is_s3(address)]:
            raise LaunchError(f"argument --{local[0]}: SageMaker writes to s3:// only")
        items = wanted.get("ProcessingOutputConfig", {}).get("Outputs", [])
        uris = [item["S3Output"]["S3Uri"] for item in items]
    else:
        run = ROOT / "out" / call.options.run_name / call.job.name
        uris = [str(run / item.name) for item in channels]
    return {item.option: uri for item, uri in zip(channels, uris, strict=True)} | named


def _check_places(outputs: Mapping[str, str], channels: Mapping[str, str]) -> None:
    """Refuse an output in whose place another channel lies: it would be lost."""
    for option, address in outputs.items():
        for other, place in channels.items():
            if other != option and storage.holds(address, place):
                raise LaunchError(f"argument --{option}: {address} holds --{other}")
