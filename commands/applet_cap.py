"""The CAP file of the Java Card package, by a Java Card kit of Oracle's, which is not part of joren: JC_HOME says where one is.

How it works. A kit from 3.1 on makes files for older cards too: its lib/ has the API of each. The applet's sources alone are compiled
against that of Java Card 3.0.4, then converted, and the file is verified. What a kit says is read in its log too: some exit with 0 after
errors.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from joren.apdu.gp import MODULES, PACKAGE_AID
from joren.host import HostError
from joren.host.cap import Cap, normalized, read_cap
from joren.simulator.jvm import BUILD

from .applet_build import SOURCES, source_files

__all__ = ["CAP_NAME", "TARGET", "Kit", "cap_path", "find_exports", "find_kit", "make_cap", "verify_cap"]

TARGET = "3.0.4"
CAP_NAME = "joren.cap"
VERSION = "1.0"
PACKAGE = "joren"
CLASSES = ("CustomerApplet", "ShopApplet")
CONVERTER, VERIFIER = "com.sun.javacard.converter.Main", "com.sun.javacard.offcardverifier.Verifier"
TOOLS = ("tools.jar", "commons-cli-*.jar", "json.jar", "asm-*.jar", "jctasks.jar")
API = f"api_classic-{TARGET}.jar"
EXPORTS = "GP_EXPORTS"
GLOBALPLATFORM = "org/globalplatform/javacard/globalplatform.exp"
ERRORS = re.compile(r"(\d+) errors?\b")
TOLD_MAX = 4_000
ADVICE = (
    "a CAP file is made by Oracle's Java Card Development Kit Tools, 3.1 or newer (free of charge, under Oracle's licence): unpack it, and "
    "set JC_HOME to its folder, the one that has lib/tools.jar; the simulator and all tests do without"
)


@dataclass(frozen=True, slots=True)
class Kit:
    """A kit: its tools for the class path, the API to compile against, and of which level, as javac names it, class files may be."""

    home: Path
    tools: str
    api: Path
    level: str


def find_kit() -> Kit:
    """The kit that JC_HOME names. Raises HostError where there is none, or no kit in that folder."""
    named = os.environ.get("JC_HOME")
    if not named:
        raise HostError(f"applet: JC_HOME is not set; {ADVICE}")
    lib = Path(named) / "lib"
    tools = [path for pattern in TOOLS for path in sorted(lib.glob(pattern))]
    if not (lib / "tools.jar").is_file() or not (lib / API).is_file():
        raise HostError(f"applet: JC_HOME {named}: lib/tools.jar and lib/{API} expected, they are not there; {ADVICE}")
    level = "8" if any(lib.glob("commons-cli-1.9*.jar")) else "7"  # kits before 25.0 take no newer class files
    return Kit(Path(named), os.pathsep.join(map(str, tools)), lib / API, level)


def cap_path(channel: str) -> Path:
    """Where the CAP file of a channel is, once it is made."""
    return BUILD / channel / CAP_NAME


def make_cap(kit: Kit, channel: str) -> Cap:
    """Compiles, converts and verifies. Raises HostError with the kit's own words."""
    exports = find_exports(channel)
    work = BUILD / channel / "cap"
    shutil.rmtree(work, ignore_errors=True)
    classes, out = work / "classes", work / "out"
    for folder in (classes, out):
        folder.mkdir(parents=True)
    wanted = [SOURCES / "src" / "main", SOURCES / "src" / "channel" / channel, SOURCES / "src" / "stubs"]
    sources = [str(path) for path in source_files() if any(path.is_relative_to(folder) for folder in wanted)]
    _run(["javac", "-g", "-source", kit.level, "-target", kit.level, "-nowarn", "-cp", str(kit.api), "-d", str(classes), *sources])
    shutil.rmtree(classes / "org", ignore_errors=True)
    _run(_converter(kit, exports, classes, out))
    made = out / PACKAGE / "javacard" / f"{PACKAGE}.cap"
    if not made.is_file():
        raise HostError(f"applet: the converter said that all is well, but made no {made}")
    cap_path(channel).write_bytes(normalized(made.read_bytes()))
    verify_cap(kit, exports, cap_path(channel))
    return read_cap(cap_path(channel))


def _converter(kit: Kit, exports: Path | None, classes: Path, out: Path) -> list[str]:
    named = zip(MODULES, CLASSES, strict=True)
    applets = [word for aid, name in named for word in ("-applet", _aid(aid), f"{PACKAGE}.{name}")]
    imports = [] if exports is None else ["-exportpath", str(exports)]
    return [
        *_java(kit, CONVERTER), "-nobanner", "-classdir", str(classes), "-target", TARGET, *imports, *applets,
        "-out", "CAP", "EXP", "-d", str(out), PACKAGE, _aid(PACKAGE_AID), VERSION,
    ]  # fmt: skip


def verify_cap(kit: Kit, exports: Path | None, path: Path) -> None:
    """Lets the kit's verifier look at a CAP file. Raises HostError with what it says."""
    files = [] if exports is None else [str(exports / GLOBALPLATFORM)]
    _run([*_java(kit, VERIFIER), "-nobanner", "-target", TARGET, *files, str(path)])


def _java(kit: Kit, program: str) -> list[str]:
    return ["java", f"-Djc.home={kit.home}", "-cp", kit.tools, program]


def find_exports(channel: str) -> Path | None:
    """The folder with GlobalPlatform's export file, where the channel needs it. Raises HostError."""
    if channel != "globalplatform":
        return None
    named = os.environ.get(EXPORTS)
    if not named or not (Path(named) / GLOBALPLATFORM).is_file():
        raise HostError(
            f"applet: {EXPORTS}: a folder with {GLOBALPLATFORM} expected, it is not there; it comes with GlobalPlatform's card API "
            "org.globalplatform, version 1.0 or newer (globalplatform.org, free of charge); --channel own does without"
        )
    return Path(named)


def _aid(aid: bytes) -> str:
    return ":".join(f"0x{byte:02X}" for byte in aid)


def _run(command: Sequence[str]) -> None:
    """Raises HostError for an exit status that is not 0, and for errors in what was told."""
    if shutil.which(command[0]) is None:
        raise HostError(f"applet: {command[0]} is needed; apt install default-jdk-headless")
    outcome = subprocess.run(  # noqa: S603
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    errors = any(int(number) for number in ERRORS.findall(outcome.stdout))
    if outcome.returncode != 0 or errors:
        what = next((word for word in command if word in (CONVERTER, VERIFIER)), command[0])
        raise HostError(f"applet: {what} failed, exit status {outcome.returncode}:\n{outcome.stdout[-TOLD_MAX:].strip()}")
