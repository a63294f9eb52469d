"""Records calls of AWS from the HTTP requests of clients.

The AWS CLI and boto3 send the same requests, so that one recorder in front of moto sees both. Who
makes a call is the access key that has signed it: give each caller a key of its own.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import botocore.session

_SIGNING_NAMES = {
    "monitoring": "cloudwatch",
    "servicequotas": "service-quotas",
    "tagging": "resourcegroupstaggingapi",
}
"""Where the name in a signature is not the one that boto3 has for the service."""


class UnknownCallError(Exception):
    """A request that is no call which this module can read."""


@dataclass(frozen=True)
class Call:
    """A call of an operation."""

    caller: str
    """The access key."""
    region: str
    service: str
    """As boto3 spells it."""
    operation: str
    parameters: Mapping[str, Any]
    """As the service's model names them. Those of a body are read for JSON and forms only."""


def read(environ: Mapping[str, Any], body: bytes) -> Call:
    """Return the call that a WSGI request makes.

    Raises:
        UnknownCallError: The request is not signed, or the service's protocol is unknown.
    """
    authorization = environ.get("HTTP_AUTHORIZATION", "")
    found = re.search(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/aws4_request", authorization)
    if not found:
        raise UnknownCallError(f"not signed: {environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
    caller, region, name = found.groups()
    service = _SIGNING_NAMES.get(name, name)
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        operation = target.rpartition(".")[2]
        return Call(caller, region, service, operation, json.loads(body or b"{}"))
    protocol = _model(service).protocol
    if protocol == "query":
        form = dict(parse_qsl(body.decode(), keep_blank_values=True))
        return Call(caller, region, service, form.pop("Action"), form)
    if protocol == "rest-xml":
        return Call(caller, region, service, *_read_rest(service, environ))
    raise UnknownCallError(f"the protocol of {service} is unknown here: {protocol}")


@cache
def _model(service: str) -> Any:
    return botocore.session.get_session().get_service_model(service)


@dataclass(frozen=True)
class _Rest:
    """How the requests of an operation look, which have a method and a path of their own."""

    name: str
    method: str
    path: str
    """A template such as ``/{Bucket}/{Key+}``."""
    fixed: Mapping[str, str]
    """What the query always holds."""
    members: Mapping[str, tuple[str, str]]
    """Where parameters are, beside the path: in the query or the headers, and by which name."""
    required: frozenset[str]
    """The members that every request has."""


def _read_rest(service: str, environ: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Find the operation that has the method and the path, and whose required parts are all there.

    Of several, the one that requires most was meant: UploadPart is PutObject with two more.
    """
    query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    path = environ["PATH_INFO"].encode("latin-1").decode()  # as WSGI prescribes
    found: list[tuple[_Rest, dict[str, Any]]] = []
    for rest in _rest_operations(service):
        named = _match_path(rest.path, path)
        if named is None or rest.method != environ["REQUEST_METHOD"]:
            continue
        parameters: dict[str, Any] = {**named}
        for member, (location, name) in rest.members.items():
            source = query if location == "querystring" else headers
            if name in source:
                parameters[member] = source[name]
        if rest.fixed.items() <= query.items() and rest.required <= parameters.keys():
            found.append((rest, parameters))
    if not found:
        raise UnknownCallError(f"{service}: {environ['REQUEST_METHOD']} {path}?{query}")
    rest, parameters = max(found, key=lambda each: len(each[0].fixed) + len(each[0].required))
    read = {name for location, name in rest.members.values() if location == "querystring"}
    if unread := query.keys() - read - rest.fixed.keys():
        raise UnknownCallError(f"{rest.name} has no {sorted(unread)} in its query")
    return rest.name, parameters


@cache
def _rest_operations(service: str) -> list[_Rest]:
    model, operations = _model(service), []
    for name in model.operation_names:
        operation = model.operation_model(name)
        shape = operation.input_shape
        members = {
            member: (each.serialization["location"], each.serialization["name"].lower())
            if each.serialization["location"] == "header"
            else (each.serialization["location"], each.serialization["name"])
            for member, each in (shape.members if shape else {}).items()
            if each.serialization.get("location") in ("querystring", "header")
        }
        required = frozenset(shape.required_members if shape else ()) & members.keys()
        path, _, fixed = operation.http["requestUri"].partition("?")
        query = dict(parse_qsl(fixed, keep_blank_values=True))
        rest = _Rest(name, operation.http["method"], path, query, members, frozenset(required))
        operations.append(rest)
    return operations


def _match_path(template: str, path: str) -> dict[str, str] | None:
    """Return the parts of a path that a template names, or ``None`` if it does not match."""
    pattern = re.sub(r"\\\{(\w+)(\\\+)?\\\}", _path_part, re.escape(template))
    found = re.fullmatch(pattern.rstrip("/") + "/?", path)
    return found.groupdict() if found else None


def _path_part(found: re.Match[str]) -> str:
    return f"(?P<{found[1]}>{'.+' if found[2] else '[^/]+'})"
