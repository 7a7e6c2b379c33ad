"""Results as JUnit XML, which build servers read: a test case for each vector, in a class for each file."""

import re
from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from .results import Result, Verdict, trace_text

__all__ = ["junit_xml"]

UNPRINTABLE = re.compile(r"[^\t\n\x20-\uD7FF\uE000-\uFFFD]")


def junit_xml(target: str, results: Sequence[Result]) -> str:
    """The whole file."""
    suite = Element("testsuite", name=_plain(f"joren conform: {target}"), tests=str(len(results)), errors="0")
    suite.set("failures", str(sum(result.verdict is Verdict.FAILED for result in results)))
    suite.set("skipped", str(sum(result.verdict is Verdict.SKIPPED for result in results)))
    suite.set("time", f"{sum(result.seconds for result in results):.3f}")
    for result in results:
        vector = result.vector
        case = SubElement(suite, "testcase", classname=vector.file.removesuffix(".json"), name=vector.id, time=f"{result.seconds:.3f}")
        properties = SubElement(case, "properties")
        for requirement in vector.covers:
            SubElement(properties, "property", name="requirement", value=requirement)
        if result.verdict is Verdict.SKIPPED:
            SubElement(case, "skipped", message=_plain(result.reason))
        elif result.verdict is Verdict.FAILED:
            failure = SubElement(case, "failure", message=_plain(result.reason))
            failure.text = _plain(f"{vector.title}\n{vector.why}\n\n{trace_text(result)}")
    indent(suite)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(suite, encoding="unicode") + "\n"


def _plain(text: str) -> str:
    """Without what XML can not have: names and messages may come from the card's side."""
    return UNPRINTABLE.sub("?", text)
