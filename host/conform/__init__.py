"""The conformance kit: vectors as files, and the runner that tries a card against them (docs/conformance.md)."""

from .load import BadVectors, load_suite
from .results import Result, Verdict
from .runner import Runner, Way
from .suite import Suite, Vector
from .target import LineTarget, LinkTarget, Target

__all__ = ["BadVectors", "LineTarget", "LinkTarget", "Result", "Runner", "Suite", "Target", "Vector", "Verdict", "Way", "load_suite"]
