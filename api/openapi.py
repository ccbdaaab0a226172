"""The OpenAPI 3.1 document, made from the route table and the models: there is nothing to keep in step by hand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from types import UnionType
from typing import Any, get_args

import msgspec

from api import models
from api.answers import JSON, PROBLEM, REPLAYED
from api.idempotency import HEADER as KEY_HEADER
from api.idempotency import MAX_KEY
from api.problems import PROBLEMS, RETRY_AFTER_SECONDS
from api.route import Access, Route

VERSION = "1.0.0"
"""Of the contract, not of the program."""

_REF = "#/components/schemas/{name}"
_VARIABLE = re.compile(r"\{(\w+)\}")
_DESCRIPTION = (
    "Money is in minor units of an ISO 4217 currency, times are RFC 3339 in UTC, ids are UUIDs. Errors are problem "
    "details (RFC 9457) with a stable `code`. An `Idempotency-Key` makes a POST happen once. Lists are paged."
)
_SAME_KEY = f"The same key and body again: the same answer, one effect. `{REPLAYED}: true` says it was given before."
_ETAGGED = (models.Ticket, models.Order, models.SellersOrder)
EVENT_STREAM = "text/event-stream"
_STRING: dict[str, Any] = {"type": "string"}
_PRINTABLE = "^[!-~]([ -~]*[!-~])?$"
"""Printable ASCII; HTTP takes blanks at the ends of a header for none of it."""
_ONE_VERSION = r'^(\*|"[0-9]{1,18}")$'
_OBJECT: dict[str, Any] = {"type": "object"}
_STRIPES_EVENT = {
    "type": "object",
    "required": ["id", "type", "data"],
    "properties": {
        "id": _STRING,
        "type": _STRING,
        "account": {"type": ["string", "null"]},
        "data": {"type": "object", "required": ["object"], "properties": {"object": _OBJECT}},
    },
}
"""As much of it as every event has (docs.stripe.com/api/events/object)."""


def document(routes: Sequence[Route]) -> bytes:
    """The whole document as JSON."""
    schemas = _schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    queries = {route.query.__name__ for route in routes if route.query is not None}
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {"title": "Stagedoor", "version": VERSION, "description": _DESCRIPTION},
            "paths": paths,
            "components": {
                "schemas": {name: schema for name, schema in sorted(schemas.items()) if name not in queries},
                "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            },
        }
    )


def _schemas(routes: Iterable[Route]) -> dict[str, Any]:
    wanted: dict[type, None] = {models.Problem: None}
    for route in routes:
        for model in (route.body, route.query, *route.answers.values()):
            wanted |= dict.fromkeys(_one_of(model))
    return msgspec.json.schema_components(list(wanted), ref_template=_REF)[1]


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "description": f"For {route.access.value}.{' An administrator may, too.' if route.admin_reads else ''}",
        "tags": [route.name.partition(".")[0]],
        "parameters": [*_path_parameters(route), *_query_parameters(route, schemas), *_header_parameters(route)],
        "responses": {**_successes(route), **_failures(route)},
    }
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": _ref(route.body)}}}
    elif route.takes_raw_body:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": _STRIPES_EVENT}}}
    if route.access.needs_token:
        operation["security"] = [{"bearer": []}]
    elif route.access is Access.OPTIONAL:
        operation["security"] = [{}, {"bearer": []}]
    return operation


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {**_STRING, "format": "uuid"} if name.endswith("_id") else _STRING,
        }
        for name in _VARIABLE.findall(route.path)
    ]


def _query_parameters(route: Route, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    properties: dict[str, Any] = schemas[route.query.__name__]["properties"]
    required = schemas[route.query.__name__].get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, **_parameter(schema)}
        for name, schema in properties.items()
    ]


def _parameter(schema: dict[str, Any]) -> dict[str, Any]:
    """A property as a parameter: one that is left out is null here, and null is nothing one could send."""
    schema = {name: value for name, value in schema.items() if (name, value) != ("default", None)}
    described = {"description": schema.pop("description")} if "description" in schema else {}
    if "anyOf" in schema:
        (only,) = (variant for variant in schema.pop("anyOf") if variant != {"type": "null"})
        schema |= only
    return {**described, "schema": schema}


def _header_parameters(route: Route) -> list[dict[str, Any]]:
    headers: list[tuple[str, dict[str, Any], str]] = []
    if route.takes_key:
        key = {**_STRING, "minLength": 1, "maxLength": MAX_KEY, "pattern": _PRINTABLE}
        headers.append((KEY_HEADER, key, _SAME_KEY))
    if route.takes_if_match:
        version = {**_STRING, "pattern": _ONE_VERSION}
        headers.append(("If-Match", version, "The ETag of the version that is to be changed, or `*`."))
    if 304 in route.answers:  # noqa: PLR2004 - Not Modified
        headers.append(("If-None-Match", _STRING, "ETags of versions the client has."))
    if route.access is Access.STRIPE:
        headers.append(("Stripe-Signature", _STRING, "docs.stripe.com/webhooks/signature"))
    return [
        {"name": name, "in": "header", "required": route.access is Access.STRIPE, "schema": schema, "description": text}
        for name, schema, text in headers
    ]


def _successes(route: Route) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, model in route.answers.items():
        headers: dict[str, Any] = {"X-Request-Id": {"schema": {**_STRING, "format": "uuid"}}}
        has_version = any(one in _ETAGGED for one in _one_of(model))
        if has_version or status == 304:  # noqa: PLR2004 - Not Modified
            headers["ETag"] = {"schema": _STRING}
        if status == 201 and has_version:  # noqa: PLR2004 - Created
            headers["Location"] = {"schema": _STRING}
        if route.takes_key:
            headers[REPLAYED] = {"schema": {**_STRING, "enum": ["true"]}}
        response: dict[str, Any] = {"description": _TITLES[status], "headers": headers}
        if model is not None:
            refs = [_ref(one) for one in _one_of(model)]
            response["content"] = {JSON: {"schema": refs[0] if len(refs) == 1 else {"anyOf": refs}}}
        elif route.media is not None:
            # A stream's schema is that of one event of it.
            schema = _OBJECT if route.media in (JSON, EVENT_STREAM) else _STRING
            response["content"] = {route.media: {"schema": schema}}
        responses[str(status)] = response
    return responses


_TITLES = {
    200: "Done",
    201: "Made",
    202: "Taken down, soon done",
    204: "Done, nothing to say",
    304: "The client has this version",
}


def _failures(route: Route) -> dict[str, Any]:
    by_status: dict[int, list[str]] = {}
    for code in route.all_problems():
        by_status.setdefault(PROBLEMS[code][0], []).append(code)
    return {str(status): _failure(status, codes) for status, codes in sorted(by_status.items())}


def _failure(status: int, codes: list[str]) -> dict[str, Any]:
    headers: dict[str, Any] = {"X-Request-Id": {"schema": {**_STRING, "format": "uuid"}}}
    if "too_many_requests" in codes or any(code in RETRY_AFTER_SECONDS for code in codes):
        headers["Retry-After"] = {"schema": {"type": "integer", "minimum": 1}}
    if status == 401:  # noqa: PLR2004 - Unauthorized
        headers["WWW-Authenticate"] = {"schema": _STRING}
    schema = {"allOf": [_ref(models.Problem), {"properties": {"code": {"enum": codes}}}]}
    return {
        "description": "; ".join(f"`{code}`: {PROBLEMS[code][1]}" for code in codes),
        "headers": headers,
        "content": {PROBLEM: {"schema": schema}},
    }


def _one_of(model: type | UnionType | None) -> tuple[type, ...]:
    """The models of which a body is one."""
    if isinstance(model, UnionType):
        return get_args(model)
    return () if model is None else (model,)


def _ref(model: type) -> dict[str, str]:
    return {"$ref": _REF.format(name=model.__name__)}
