"""What every test run has: the canary (canary.py), a private pcscd for tests that ask for it (pcsckit.py), and the figures that tests tell
by `record_property`, printed at the end.

With `--card javacard` every simulated card runs the Java Card applet in place of the model; tests that look into the model are skipped.
"""

import pytest

import canary
import pcsckit
from joren.commands.applet_build import build_classes
from joren.simulator.chip import Chip
from joren.simulator.java_roles import JAVACARD, PROGRAMS

__all__ = ["pytest_addoption", "pytest_collection_modifyitems", "pytest_configure", "pytest_terminal_summary"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """--card."""
    parser.addoption("--card", choices=list(PROGRAMS), default="model", help="which program simulated cards run")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests marked `model` are of the model alone."""
    if config.getoption("card") == JAVACARD.name:
        for item in items:
            if item.get_closest_marker("model"):
                item.add_marker(pytest.mark.skip(reason="looks into the model"))


def pytest_configure(config: pytest.Config) -> None:
    """From here on no key gets out unseen."""
    config.addinivalue_line("markers", "model: looks into the model, so that it makes no sense with --card javacard")
    if config.getoption("card") == JAVACARD.name:
        build_classes()
        Chip.default_program = JAVACARD
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
