"""An AWS account: moto, in this process, with what it lacks of CloudFormation and of quotas.

moto is imported where it is used: it takes seconds, which tests that only render can spare.
"""

import io
import json
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from unittest import mock

import boto3
import registry
from werkzeug.serving import WSGIRequestHandler, make_server

REGION = "eu-west-1"


def _moto() -> Any:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    return DomainDispatcherApplication(create_backend_app)


@dataclass
class Endpoint:
    """Where AWS's clients find what answers for AWS here."""

    port: int = 0
    moto: Any = field(default_factory=_moto)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        """What leads AWS's clients here."""
        return registry.aws_environment(cast(registry.Server, self), REGION)

    def client(self, service: str, region: str = REGION) -> Any:
        return boto3.client(
            service,
            endpoint_url=f"http://{self.address}",
            region_name=region,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",  # noqa: S106
        )


@dataclass
class Account(Endpoint):
    """A WSGI application in front of moto's own."""

    quotas: dict[str, float] = field(default_factory=dict)
    """Of SageMaker, by name; moto knows none."""
    faults: dict[str, str] = field(default_factory=dict)
    """Error codes that operations are answered with."""

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        form = dict(pair.partition("=")[::2] for pair in body.decode(errors="replace").split("&"))
        operation = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2] or form.get("Action")
        json_type = [("Content-Type", "application/x-amz-json-1.1")]
        if code := self.faults.get(operation or environ["REQUEST_METHOD"]):
            start("400 Bad Request", json_type if "HTTP_X_AMZ_TARGET" in environ else [])
            if "HTTP_X_AMZ_TARGET" in environ:
                return [json.dumps({"__type": code, "message": code}).encode()]
            error = (
                f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{code}</Message></Error>"
            )
            return [f"<ErrorResponse>{error}</ErrorResponse>".encode()]
        if operation == "ListServiceQuotas":
            names = enumerate(self.quotas.items())
            quotas = [{"QuotaName": n, "QuotaCode": f"L-{i}", "Value": v} for i, (n, v) in names]
            start("200 OK", json_type)
            return [json.dumps({"Quotas": quotas}).encode()]
        return cast(Iterable[bytes], self.moto(environ, start))


class _Silent(WSGIRequestHandler):
    def log_request(self, *_: object) -> None:
        pass


@contextmanager
def account() -> Iterator[Account]:
    """The account on loopback, empty."""
    aws = Account()
    with serve(aws):
        yield aws


@contextmanager
def serve(application: Any) -> Iterator[None]:
    """Answer on loopback, of a moto that is empty, at the port that the application is told."""
    from moto.cloudformation import models, responses

    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=_Silent)
    application.port = server.server_port
    thread = threading.Thread(target=server.serve_forever)
    with (
        mock.patch.object(models.ChangeSet, "apply", _apply),
        # CloudFormation refuses an update without changes, but makes an empty change set of it.
        mock.patch.object(responses.CloudFormationResponse, "_validate_different_update"),
    ):
        thread.start()
        try:
            reset = f"http://127.0.0.1:{server.server_port}/moto-api/reset"
            urllib.request.urlopen(reset, data=b"").close()
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def _apply(changes: Any) -> None:
    """Execute a change set: the stack gets its outputs and parameters, the change set is gone."""
    from moto.cloudformation import models

    stack = changes.stack
    stack.resource_map.update(changes.template_dict, changes.parameters)
    stack.template, stack.template_dict = changes.template, changes.template_dict
    stack.parameters = stack.resource_map.resolved_parameters
    stack.output_map = stack._create_output_map()
    backend = models.cloudformation_backends[stack.account_id][stack.region_name]
    del backend.change_sets[changes.change_set_id]
