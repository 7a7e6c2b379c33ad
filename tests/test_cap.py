"""CAP files and the kit that makes them: what is read, what is refused, what a kit is asked for, and what its log says."""

import shutil
import subprocess
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest
from click.testing import CliRunner, Result

from joren.apdu.gp import MODULES, PACKAGE_AID
from joren.cli import main
from joren.commands import applet_cap
from joren.host import HostError
from joren.host.cap import normalized, read_cap

FRAMEWORK = bytes.fromhex("A0000000620101")
ORDER = ("Header", "Directory", "Import", "Applet", "Class", "Method", "StaticField", "Export", "ConstantPool", "RefLocation")


def component(tag: int, info: bytes) -> bytes:
    return bytes((tag,)) + len(info).to_bytes(2) + info


def components(*, flags: int = 0x04) -> dict[str, bytes]:
    """A package with both applets, as chapter 6 of the specification has its components."""
    header = bytes.fromhex("DECAFFED") + bytes((1, 2, flags, 0, 1, len(PACKAGE_AID))) + PACKAGE_AID
    applets = b"".join(bytes((len(aid),)) + aid + b"\x00\x10" for aid in MODULES)
    return {
        "Header": component(1, header),
        "Directory": component(2, bytes(31)),
        "Import": component(4, b"\x01" + bytes((5, 1, len(FRAMEWORK))) + FRAMEWORK),
        "Applet": component(3, b"\x02" + applets),
        "Class": component(6, b"class"),
        "Method": component(7, b"method"),
        "StaticField": component(8, b"static"),
        "ConstantPool": component(5, b"pool"),
        "RefLocation": component(9, b"references"),
        "Descriptor": component(11, b"descriptor"),
        "Debug": component(12, b"debug"),
    }


def archive(parts: dict[str, bytes], *, folder: str = "joren/javacard/", year: int = 2020) -> bytes:
    out = BytesIO()
    with ZipFile(out, "w") as zipped:
        zipped.writestr("META-INF/MANIFEST.MF", f"Java-Card-CAP-Creation-Time: {year}")
        for name, raw in parts.items():
            zipped.writestr(f"{folder}{name}.cap", raw)
    return out.getvalue()


def test_what_is_in_a_package(tmp_path: Path) -> None:
    parts = components()
    (tmp_path / "a.cap").write_bytes(archive(parts))
    cap = read_cap(tmp_path / "a.cap")
    assert (cap.aid, cap.version, cap.format, cap.needs_int) == (PACKAGE_AID, (1, 0), (2, 1), False)
    assert cap.applets == MODULES
    assert cap.imports == ((FRAMEWORK, (1, 5)),)
    assert cap.loaded == b"".join(parts[name] for name in ORDER if name in parts)
    assert cap.identity == sha256(cap.loaded).hexdigest().upper()
    (tmp_path / "b.cap").write_bytes(archive(components(flags=0x05)))
    assert read_cap(tmp_path / "b.cap").needs_int


def test_a_library_has_no_applets(tmp_path: Path) -> None:
    parts = components()
    del parts["Applet"]
    (tmp_path / "a.cap").write_bytes(archive(parts))
    assert read_cap(tmp_path / "a.cap").applets == ()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no archive",
        archive({}),
        archive({"Header": b"\x01\x00"}),
        archive({**components(), "Header": component(1, bytes(20))}),
        archive({**components(), "Header": components()["Header"] + b"x"}),
        archive({**components(), "Import": component(4, b"\x01\x05\x01\x40aid")}),
        archive({**components(), "Applet": component(3, b"\x01\x03aid\x00\x00")}),
        archive({**components(), "Method": bytes(2 << 20)}),
        archive(components())[:300],
    ],
    ids=lambda raw: f"{len(raw)} bytes",
)
def test_what_is_no_cap_file_is_refused(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.cap").write_bytes(raw)
    with pytest.raises(HostError, match="a CAP file expected"):
        read_cap(tmp_path / "a.cap")


def test_the_same_components_give_the_same_file() -> None:
    one = normalized(archive(components(), year=2020))
    assert one == normalized(archive(dict(reversed(components().items())), year=2021)) == normalized(one)
    assert b"MANIFEST" not in one
    with pytest.raises(HostError, match="a CAP file expected"):
        normalized(b"x")


MAIN = """
package com.sun.javacard.%s;
public final class Main {
    public static void main(String[] words) throws Exception {
        java.util.List<String> all = java.util.Arrays.asList(words);
        java.nio.file.Path here = java.nio.file.Paths.get(System.getProperty("jc.home"));
        java.nio.file.Files.write(here.resolve("%s.asked"), all);
        java.nio.file.Path cap = here.resolve("made.cap");
        int out = all.indexOf("-d");
        if (out >= 0 && java.nio.file.Files.exists(cap)) {
            java.nio.file.Path to = java.nio.file.Paths.get(all.get(out + 1), "joren", "javacard");
            java.nio.file.Files.createDirectories(to);
            java.nio.file.Files.copy(cap, to.resolve("joren.cap"));
        }
        System.out.print(new String(java.nio.file.Files.readAllBytes(here.resolve("%s.says"))));
    }
}
"""


class FakeKit:
    """A folder that looks like a kit, whose tools say what they are told to and note what they were asked."""

    def __init__(self, folder: Path, tools: Path) -> None:
        self.home = folder / "kit"
        lib = self.home / "lib"
        lib.mkdir(parents=True)
        for name in ("tools.jar", "api_classic-3.0.4.jar"):
            shutil.copy(tools, lib / name)
        for tool in ("converter", "offcardverifier"):
            self.says(tool, "completed with 0 errors and 0 warnings.")
        (self.home / "made.cap").write_bytes(archive(components()))
        self.exports = folder / "gp"
        (self.exports / applet_cap.GLOBALPLATFORM).parent.mkdir(parents=True)
        (self.exports / applet_cap.GLOBALPLATFORM).touch()

    def says(self, tool: str, text: str) -> None:
        (self.home / f"{tool}.says").write_text(text)

    def asked(self, tool: str) -> list[str]:
        return (self.home / f"{tool}.asked").read_text().splitlines()


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The jar with both tools."""
    folder = tmp_path_factory.mktemp("tools")
    sources = []
    for name, program in (("converter", "Main"), ("offcardverifier", "Verifier")):
        sources.append(folder / f"{program}.java")
        sources[-1].write_text((MAIN % (name, name, name)).replace("class Main", f"class {program}"))
    subprocess.run(["javac", "-d", folder / "classes", *sources], check=True)
    subprocess.run(["jar", "cf", folder / "tools.jar", "-C", folder / "classes", "."], check=True)
    return folder / "tools.jar"


@pytest.fixture
def kit(tmp_path: Path, tools: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKit:
    """No compiler runs on the applet's sources here: the API of this kit is none."""
    made = FakeKit(tmp_path, tools)
    monkeypatch.setenv("JC_HOME", str(made.home))
    monkeypatch.setenv("GP_EXPORTS", str(made.exports))
    monkeypatch.setattr(applet_cap, "BUILD", tmp_path / "build")
    run = applet_cap._run
    monkeypatch.setattr(applet_cap, "_run", lambda command: None if command[0] == "javac" else run(command))
    monkeypatch.setattr("joren.commands.applet.build_classes", lambda _channel: True)
    return made


def joren(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["applet", *words])
    assert result.exit_code == code, result.output
    return result


def test_the_kit_is_asked_for_a_package_of_java_card_304(kit: FakeKit, tmp_path: Path) -> None:
    told = joren("build", "--cap").stdout
    asked = " ".join(kit.asked("converter"))
    assert "-target 3.0.4" in asked
    assert f"-exportpath {kit.exports}" in asked
    assert "-applet 0xF0:0x6A:0x6F:0x72:0x65:0x6E:0x01 joren.CustomerApplet" in asked
    assert asked.endswith("joren 0xF0:0x6A:0x6F:0x72:0x65:0x6E 1.0")
    made = tmp_path / "build" / "globalplatform" / "joren.cap"
    assert made.read_bytes() == normalized(archive(components()))
    assert kit.asked("offcardverifier")[-1] == str(made)
    assert read_cap(made).identity in told
    assert read_cap(made).identity in joren("verify").stdout
    assert "component  Method, 9 bytes" in joren("info", str(made)).stdout
    assert '"needs_int": false' in joren("info", "--json").stdout
    assert '"cap"' in joren("build", "--cap", "--json").stdout


@pytest.mark.parametrize("tool", ["converter", "offcardverifier"])
@pytest.mark.parametrize("said", ["conversion completed with 1 errors and 0 warnings.", "2 warnings, 1 error"])
def test_errors_in_a_kits_log_are_errors_whatever_its_exit_status(kit: FakeKit, tool: str, said: str) -> None:
    kit.says(tool, said)
    assert said in joren("build", "--cap", code=2).output


def test_a_kit_that_makes_nothing_is_found_out(kit: FakeKit) -> None:
    (kit.home / "made.cap").unlink()
    assert "made no" in joren("build", "--cap", code=2).output


def test_a_kit_that_is_too_old_is_refused(kit: FakeKit) -> None:
    """One that can not make files for Java Card 3.0.4, or only for its own version."""
    (kit.home / "lib" / "api_classic-3.0.4.jar").rename(kit.home / "lib" / "api_classic.jar")
    assert "3.1 or newer" in joren("build", "--cap", code=2).output


@pytest.mark.parametrize(("tool", "level"), [("commons-cli-1.4.jar", "7"), ("commons-cli-1.9.0.jar", "8")])
def test_class_files_are_as_new_as_the_kit_takes(kit: FakeKit, tool: str, level: str) -> None:
    (kit.home / "lib" / tool).touch()
    found = applet_cap.find_kit()
    assert found.level == level
    assert str(kit.home / "lib" / tool) in found.tools


def test_the_applets_own_channel_needs_no_export_file(kit: FakeKit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GP_EXPORTS")
    joren("build", "--cap", "--channel", "own")
    assert "-exportpath" not in kit.asked("converter")
    assert kit.asked("offcardverifier")[:3] == ["-nobanner", "-target", "3.0.4"]


def test_without_a_kit_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kit: FakeKit) -> None:
    monkeypatch.delenv("GP_EXPORTS")
    assert "globalplatform.org" in joren("build", "--cap", code=2).output
    monkeypatch.setenv("JC_HOME", str(tmp_path))
    assert "lib/tools.jar" in joren("build", "--cap", code=2).output
    monkeypatch.delenv("JC_HOME")
    assert "Java Card Development Kit" in joren("build", "--cap", code=2).output
    assert "joren applet build --cap" in joren("info", code=2).output
    assert "no compiler" not in joren("build", code=0).output
    monkeypatch.setenv("PATH", "")
    with pytest.raises(HostError, match="java is needed"):
        applet_cap._run(["java"])
