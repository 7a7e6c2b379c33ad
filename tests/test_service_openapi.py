"""The OpenAPI document is valid, is what docs/ has, and agrees with the service."""

import re
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from joren.commands.till_docs import errors_into, openapi_text
from joren.host.service.calls import CALLS
from joren.host.service.fields import check
from joren.host.service.openapi import document
from joren.host.service.problems import CODES, Problem

DOCS = Path(__file__).parent.parent / "docs"


def test_the_document_is_openapi() -> None:
    told: Any = document()
    assert list(OpenAPIV31SpecValidator(told).iter_errors()) == []
    for schema in told["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_docs_have_the_document_and_the_errors_as_they_are() -> None:
    """`python -m joren.commands.till_docs` writes both."""
    assert (DOCS / "openapi-till.json").read_text(encoding="utf-8") == openapi_text()
    page = (DOCS / "till-service.md").read_text(encoding="utf-8")
    assert errors_into(page) == page
    assert all(f"| `{code}` |" in page for code in CODES)


def test_the_document_has_every_call_with_its_fields() -> None:
    told = document()
    for call in CALLS.values():
        operation = told["paths"][call.path][call.method.lower()]
        assert operation["operationId"] == call.name
        assert re.findall(r"\{(\w+)\}", call.path) == [field.name for field in call.in_path]
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {"properties": {}})
        assert set(body["properties"]) == {field.name for field in call.in_body}


VALUES: list[Any] = [
    0, 1, -1, 15, 16, 255, 256, 4_294_967_295, 4_294_967_296, 300, 301, True, False, None, 1.5, "", "S-1", "x" * 64, "x" * 65, "1234",
    "123", "123456789", "left", [], {},
]  # fmt: skip


def test_what_the_document_allows_is_what_the_service_takes() -> None:
    """Field by field. `time` is finer than its schema says."""
    for call in CALLS.values():
        for field in call.fields:
            validator = Draft202012Validator(field.schema)
            for value in VALUES:
                if field.form == "time":
                    continue
                try:
                    check([field], {field.name: value})
                    taken = True
                except Problem:
                    taken = False
                assert taken == validator.is_valid(value), (call.name, field.name, value)
