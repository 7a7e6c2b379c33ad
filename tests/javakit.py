"""What tests of applets in Java share: the build, and the small applet with an instruction for each way to write."""

import os
import subprocess
from dataclasses import replace
from functools import cache

from joren.apdu import CLA_JOREN, Command, Response
from joren.applet.applet import Needs
from joren.commands.applet_build import build_classes
from joren.simulator.chip import IDEAL, Chip
from joren.simulator.java_roles import JAVACARD
from joren.simulator.javacard import JavaApplet, JavaClass, RegionSize
from joren.simulator.jvm import classes_folder, find_java
from joren.simulator.profile import Profile

__all__ = ["AID", "PLAIN", "SELECT", "TINY", "Tiny", "built", "class_path", "java_twin", "java_twin_without_cmac", "run_stream"]

PLAIN = replace(IDEAL, development=False)
AID = bytes.fromhex("F06A6F72656E7F0001")
SELECT = Command(0x00, 0xA4, 0x04, 0x00, AID, 256)
TINY = JavaClass("joren.tiny.Tiny", (RegionSize("first", 4), RegionSize("second", 16)), NEEDS=Needs(0, 0, 0, 0))


@cache
def built(channel: str = "globalplatform") -> None:
    """Sees to it that the classes are there."""
    build_classes(channel)


def class_path(channel: str = "globalplatform") -> str:
    """The classes and the libraries that they need."""
    built(channel)
    folder = classes_folder(channel)
    return f"{folder}{os.pathsep}{folder.parent / 'lib'}/*"


def run_stream(main: str, data: bytes) -> bytes:
    """What a program of the harness answers to a stream of cases."""
    command = [find_java(), "-XX:+UseSerialGC", "-cp", class_path(), f"joren.harness.{main}"]
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


def java_twin(chip: Chip) -> Chip:
    """The same card, powered off, with the Java Card applet in place of the model."""
    built()
    return chip.on(chip.profile, program=JAVACARD)


def java_twin_without_cmac(chip: Chip) -> Chip:
    """The same on a chip that has no AES-CMAC."""
    built()
    return chip.on(replace(chip.profile, cmac=False), program=JAVACARD)


class Tiny:
    """A chip with the small applet, selected."""

    def __init__(self, profile: Profile = PLAIN, java_class: JavaClass = TINY) -> None:
        built()
        self.chip = Chip(b"tiny", profile)
        self.chip.install(java_class, AID)
        self.on()

    def on(self) -> Response:
        """Power, and SELECT."""
        self.chip.power_on()
        return self.chip.process(SELECT)

    @property
    def java(self) -> JavaApplet:
        """The instance."""
        applet = self.chip.applets[AID]
        assert isinstance(applet, JavaApplet)
        return applet

    def send(self, ins: int, data: bytes = b"", ne: int | None = 256) -> Response:
        """One command."""
        return self.chip.process(Command(CLA_JOREN, ins, 0, 0, data, ne))

    @property
    def cells(self) -> bytes:
        """All that it keeps, as the chip has it; the machine has the same."""
        assert self.java.cells_in_jvm() == self.java.cells
        return self.java.cells
