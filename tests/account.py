"""An AWS account: moto in this process, with additions to CloudFormation, IAM and Service Quotas.

moto is imported where it is used: it takes seconds, which tests that only render can spare.
"""

import io
import json
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from unittest import mock
from urllib.parse import parse_qsl

import boto3
import policies
import registry
from botocore.config import Config
from werkzeug.serving import WSGIRequestHandler, make_server

REGION = "eu-west-1"


def _moto() -> Any:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    moto = DomainDispatcherApplication(create_backend_app)

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(body)
            form = dict(parse_qsl(body.decode(), keep_blank_values=True))
            if form.get("Action") == "SimulatePrincipalPolicy":
                status, answer = _simulate(form)
                start(status, [("Content-Type", "text/xml")])
                return [answer.encode()]
        return cast(Iterable[bytes], moto(environ, start))

    return application


def _document(policy: Any) -> str:
    """The version of a managed policy that is in force."""
    return str(next(each.document for each in policy.versions if each.is_default_version))


_SIMULATED = """\
<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">
<SimulatePrincipalPolicyResult><IsTruncated>false</IsTruncated><EvaluationResults><member>
<EvalActionName>{action}</EvalActionName><EvalResourceName>*</EvalResourceName>
<EvalDecision>{decision}</EvalDecision>
<ResourceSpecificResults><member><EvalResourceName>{resource}</EvalResourceName>
<EvalResourceDecision>{decision}</EvalResourceDecision>
<PermissionsBoundaryDecisionDetail><AllowedByPermissionsBoundary>{boundary}\
</AllowedByPermissionsBoundary></PermissionsBoundaryDecisionDetail></member></ResourceSpecificResults>
</member></EvaluationResults></SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"""


def _simulate(form: Mapping[str, str]) -> tuple[str, str]:
    """Decide about one action on one resource by the policies of a role, as IAM does."""
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.iam.models import iam_backends

    backend = iam_backends[DEFAULT_ACCOUNT_ID]["aws"]
    arn = form["PolicySourceArn"]
    role = next((role for role in backend.roles.values() if role.arn == arn), None)
    if role is None:
        error = f"<Code>NoSuchEntity</Code><Message>there is no {arn}</Message>"
        return "404 Not Found", f"<ErrorResponse><Error>{error}</Error></ErrorResponse>"
    attached = map(_document, role.managed_policies.values())
    documents = [json.loads(each) for each in [*role.policies.values(), *attached]]
    boundary = None
    if role.permissions_boundary_arn:
        document = _document(backend.managed_policies[role.permissions_boundary_arn])
        boundary = policies.statements([json.loads(document)])
    context = {
        value: form[f"{key.removesuffix('Name')}Values.member.1"]
        for key, value in form.items()
        if key.endswith("ContextKeyName")
    }
    action, resource = form["ActionNames.member.1"], form["ResourceArns.member.1"]
    request = policies.Request(action, resource, context)
    statements = policies.statements(documents)
    decision = policies.Identity(statements, boundary).decide(request)
    denies = [each for each in [*statements, *(boundary or [])] if not each.allows]
    explicit = any(each.matches(request) for each in denies)
    within = boundary is None or policies.Identity(boundary).decide(request).allowed
    answer = _SIMULATED.format(
        action=action,
        resource=resource,
        decision="allowed" if decision.allowed else "explicitDeny" if explicit else "implicitDeny",
        boundary=str(within).lower(),
    )
    return "200 OK", answer


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

    def client(self, service: str, region: str = REGION, **config: Any) -> Any:
        return boto3.client(
            service,
            endpoint_url=f"http://{self.address}",
            region_name=region,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",  # noqa: S106
            config=Config(**config),
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
            status = "403 Forbidden" if code == "AccessDenied" else "400 Bad Request"
            start(status, json_type if "HTTP_X_AMZ_TARGET" in environ else [])
            if "HTTP_X_AMZ_TARGET" in environ:
                return [json.dumps({"__type": code, "message": code}).encode()]
            error = (
                f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{code}</Message></Error>"
            )
            return [f"<ErrorResponse>{error}</ErrorResponse>".encode()]
        if operation == "ListServiceQuotas":
            start("200 OK", json_type)
            return [json.dumps({"Quotas": listed_quotas(self.quotas)}).encode()]
        return cast(Iterable[bytes], self.moto(environ, start))


def listed_quotas(quotas: Mapping[str, float]) -> list[dict[str, Any]]:
    """Quotas by name, as ListServiceQuotas returns them."""
    return [
        {"QuotaName": name, "QuotaCode": f"L-{index}", "Value": value}
        for index, (name, value) in enumerate(quotas.items())
    ]


class _Silent(WSGIRequestHandler):
    def log_request(self, *_: object) -> None:
        pass


@contextmanager
def account() -> Iterator[Account]:
    """The account on loopback, empty."""
    aws = Account()
    with serve(aws):
        yield aws


_in_use = threading.Lock()
"""Held while this process serves its account: moto has only one, and serving it empties it."""


@contextmanager
def _alone() -> Iterator[None]:
    if not _in_use.acquire(blocking=False):
        raise RuntimeError("another fixture serves the account: mark this test `own_account`")
    try:
        yield
    finally:
        _in_use.release()


@contextmanager
def serve(application: Any) -> Iterator[None]:
    """Answer on loopback, of a moto that is empty, at the port that the application is told.

    Raises:
        RuntimeError: This process serves its account already.
    """
    import schedules  # noqa: F401
    from moto.cloudformation import models, parsing, responses

    delete_resources = parsing.ResourceMap.delete

    def delete(resources: Any) -> None:
        """Keep what a policy retains; moto only knows the policy ``Retain``."""
        for part in resources._resource_json_map.values():
            if part.get("DeletionPolicy") == "RetainExceptOnCreate":
                part["DeletionPolicy"] = "Retain"
        delete_resources(resources)

    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=_Silent)
    application.port = server.server_port
    thread = threading.Thread(target=server.serve_forever)
    with (
        _alone(),
        mock.patch.object(models.ChangeSet, "apply", _apply),
        mock.patch.object(parsing.ResourceMap, "delete", delete),
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
    # moto compares these with the next change set's, in which lists and numbers are text.
    resolved = stack.resource_map.resolved_parameters.items()
    stack.parameters = {k: ",".join(v) if isinstance(v, list) else str(v) for k, v in resolved}
    stack.output_map = stack._create_output_map()
    backend = models.cloudformation_backends[stack.account_id][stack.region_name]
    del backend.change_sets[changes.change_set_id]
