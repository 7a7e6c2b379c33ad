"""What every test run has: the canary (canary.py), a private pcscd for tests that ask for it (pcsckit.py), and the figures that tests tell
by `record_property`, printed at the end."""

import pytest

import canary
import pcsckit

__all__ = ["pytest_configure", "pytest_terminal_summary"]


def pytest_configure(config: pytest.Config) -> None:
    """From here on no key gets out unseen."""
    watched = canary.Canary()
    canary.watch(watched)
    config.pluginmanager.register(canary.Plugin(watched), "joren-canary")
    config.pluginmanager.register(pcsckit, "joren-pcsckit")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Every property of every passed test, also where tests run in several processes."""
    found = [pair for report in terminalreporter.stats.get("passed", []) for pair in report.user_properties]
    if found:
        terminalreporter.section("figures")
    for name, value in found:
        terminalreporter.write_line(f"{name}: {value:,}" if isinstance(value, int) else f"{name}: {value}")
