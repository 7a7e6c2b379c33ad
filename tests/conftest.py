"""What the tests found, printed at the end: a test tells it by `record_property`."""

import pytest

__all__ = ["pytest_terminal_summary"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Every property of every passed test, also where tests run in several processes."""
    found = [pair for report in terminalreporter.stats.get("passed", []) for pair in report.user_properties]
    if found:
        terminalreporter.section("figures")
    for name, value in found:
        terminalreporter.write_line(f"{name}: {value:,}" if isinstance(value, int) else f"{name}: {value}")
