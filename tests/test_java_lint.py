"""The Java Card package is clean by the lint (javalint.py), and the lint finds each fault that it is there for."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from javakit import built
from javalint import lint, parse
from joren.simulator.jvm import CHANNELS, classes_folder

IMPORTS = """
package joren;
import javacard.framework.*;
import javacard.security.*;
import javacardx.crypto.*;
"""
RAM = """
final class Ram {
    final byte[] session = JCSystem.makeTransientByteArray((short) 8, JCSystem.CLEAR_ON_DESELECT);
    final byte[] scratch = JCSystem.makeTransientByteArray((short) 32, JCSystem.CLEAR_ON_DESELECT);
    final byte[] cells = new byte[32];
    final RandomData random = RandomData.getInstance(RandomData.ALG_SECURE_RANDOM);
    final Signature signature = Signature.getInstance(Signature.ALG_AES_MAC_128_NOPAD, false);
    final AESKey key = (AESKey) KeyBuilder.buildKey(KeyBuilder.TYPE_AES, KeyBuilder.LENGTH_AES_128, false);
    final AESKey ramKey = (AESKey) KeyBuilder.buildKey(KeyBuilder.TYPE_AES_TRANSIENT_DESELECT, KeyBuilder.LENGTH_AES_128, false);
    static final byte[] TABLE = {1, 2, 3};
    static final byte[] KEPT = new byte[4];
    byte field;
}
"""
CLASS = """
public final class Case%d extends Applet {
    final Ram ram = new Ram();
    public static void install(byte[] b, short o, byte l) { new Case%d().register(); }
    public void process(APDU apdu) { byte[] buffer = apdu.getBuffer(); work(buffer, ram.cells, Util.getShort(buffer, (short) 0)); }
    void work(byte[] buffer, byte[] cells, short n) { %s }
    %s
}
"""
GOOD = [
    ("cells[0] = 1; Util.arrayCopy(buffer, (short) 0, cells, (short) 1, n);", ""),
    ("buffer[(short) (n + 1)] = (byte) (n * 3); if ((short) (n * n) > 5) { n = (short) ((short) (n << 3) >> 2); }", ""),
    ("buffer[0] = (byte) (((n << 4) | (n & 0x0F)) & 0x7F); if (((n + n) & 0x7FFF) > 1) { n--; }", ""),
    ("JCSystem.beginTransaction(); cells[0] = 2; ram.scratch[0] = 3; ram.session[0] = 0; JCSystem.commitTransaction();", ""),
    ("ram.random.generateData(ram.session, (short) 0, (short) 8); ram.ramKey.setKey(buffer, (short) 0);", ""),
    ("Util.arrayFillNonAtomic(ram.scratch, (short) 0, (short) 9, (byte) 1); buffer[0] = Ram.TABLE[(short) (n & 1)];", ""),
    ("ram.signature.init(ram.key, Signature.MODE_SIGN); ram.signature.sign(cells, (short) 0, (short) 16, buffer, (short) 0);", ""),
    ("try { deep(buffer); } finally { ram.ramKey.clearKey(); }", "void deep(byte[] any) { any[0] = 1; }"),
    ("switch (n) { case 1: n = 2; break; case 700: n = 3; break; default: ISOException.throwIt((short) 0x6A80); }", ""),
]
BAD = [
    ("int wide = n; buffer[wide] = 1;", "", "type I"),
    ("long wide = n; buffer[0] = (byte) wide;", "", "type J"),
    ("char wide = 'a'; buffer[0] = (byte) wide;", "", "type C"),
    ("take(null);", "void take(String name) { }", "type Ljava/lang/String;"),
    ("take(null);", "void take(int[] many) { }", "type [I"),
    ("buffer[0] = (byte) \"ab\".length();", "", "constant String ab"),
    ("if (n + 1 > 5) { buffer[0] = 1; }", "", "comparison of a number that may be wider"),
    ("buffer[0] = (byte) ((n * 3) >> 1);", "", "ishr of a number that may be wider"),
    ("buffer[0] = (byte) ((n << 1) / 3);", "", "idiv of a number that may be wider"),
    ("buffer[0] = (byte) ((n >>> 1) % 3);", "", "irem of a number that may be wider"),
    ("buffer[n + 1] = 1;", "", "index of a number that may be wider"),
    ("switch (n + 1) { case 1: buffer[0] = 1; break; default: }", "", "switch of a number that may be wider"),
    ("if (((n - 1) & ~1) == 0) { buffer[0] = 1; }", "", "comparison of a number that may be wider"),
    ("if (n * 100000 == 5) { buffer[0] = 1; }", "", "constant int 100000"),
    ("byte[] more = new byte[4]; buffer[0] = more[0];", "", "allocates while it answers"),
    ("deep();", "void deep() { new Ram(); }", "allocates while it answers"),
    ("JCSystem.makeTransientByteArray(n, JCSystem.CLEAR_ON_RESET);", "", "allocates while it answers"),
    ("Ram.KEPT[0] = 1;", "", "writes to the array of a static field"),
    ("Util.arrayCopy(buffer, (short) 0, Ram.KEPT, (short) 0, (short) 2);", "", "writes to the array of a static field"),
    ("kept = n;", "static short kept;", "a static field that is not final"),
    ("ram.field = 1;", "", "a field is set at install alone"),
    ("new OwnerPIN((byte) 3, (byte) 8).reset();", "", "OwnerPIN"),
    ("Util.arrayCopyNonAtomic(buffer, (short) 0, cells, (short) 0, n);", "", "arrayCopyNonAtomic writes to persistent memory"),
    ("deep(cells);", "void deep(byte[] any) { Util.arrayFillNonAtomic(any, (short) 0, (short) 2, (byte) 0); }", "only RAM may be"),
    ("deep(n > 1 ? cells : buffer);", "void deep(byte[] a) { Util.arrayFillNonAtomic(a, (short) 0, (short) 2, (byte) 0); }", "RAM, pers"),
    ("ram.random.generateData(cells, (short) 0, (short) 8);", "", "generateData writes to persistent memory"),
    ("ram.signature.sign(buffer, (short) 0, n, cells, (short) 0);", "", "sign writes to persistent memory"),
    ("ram.key.setKey(buffer, (short) 0);", "", "loads a key object in persistent memory"),
    ("JCSystem.beginTransaction(); ram.session[0] = 1; JCSystem.commitTransaction();", "", "writes to the session in RAM inside"),
    (
        "JCSystem.beginTransaction(); deep(ram.session); JCSystem.commitTransaction();",
        "void deep(byte[] any) { Util.setShort(any, (short) 0, (short) 1); }",
        "writes to the session in RAM inside",
    ),
    ("JCSystem.beginTransaction(); cells[0] = 1;", "", "returns with another transaction"),
    ("if (n > 1) { JCSystem.beginTransaction(); } cells[0] = 1; if (n > 1) { JCSystem.commitTransaction(); }", "", "returns with another"),
    ("RandomData.OneShot once = null; buffer[0] = once == null ? (byte) 1 : 0;", "void unused() { }", "is never called"),
    ("JCSystem.requestObjectDeletion();", "", "requestObjectDeletion: not among the calls"),
    ("Util.arrayFill(cells, (short) 0, n, (byte) 0);", "", "Util.arrayFill: not among the calls"),
    ("buffer[0] = (byte) Math.abs(n);", "", "java/lang/Math.abs: not among the calls"),
]  # fmt: skip


OF_OTHER_BUILDS = {"globalplatform": ["Mac.sign: is never called"], "own": []}
"""What a build has and another one uses: the MAC behind a chaining value."""


def javap(classes: list[Path]) -> str:
    """The classes as javap prints them."""
    tool = shutil.which("javap")
    assert tool, "javap comes with the JDK that builds the applet"
    command = [tool, "-p", "-c", "-s", "-l", "-constants", *map(str, classes)]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout


@pytest.mark.parametrize("channel", CHANNELS)
def test_the_applet_is_clean(channel: str) -> None:
    """Nothing that a card does not have, nothing allocated while it answers, no write that a transaction does not cover."""
    built(channel)
    found = parse(javap(sorted((classes_folder(channel) / "joren").glob("*.class"))))
    assert {"CustomerApplet", "ShopApplet", "PlatformChannel", "Rank"} <= {klass.name for klass in found}
    assert [str(finding) for finding in lint(found)] == OF_OTHER_BUILDS[channel]


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What the lint finds in each case: by name."""
    built()
    folder = tmp_path_factory.mktemp("lint")
    (folder / "Ram.java").write_text(IMPORTS + RAM)
    for number, (body, more, *_) in enumerate([*GOOD, *BAD]):
        (folder / f"Case{number}.java").write_text(IMPORTS + CLASS % (number, number, body, more))
    libraries = os.pathsep.join(map(str, (classes_folder().parent / "lib").glob("*.jar")))
    command = [
        "javac",
        "-g",
        "-nowarn",
        "-source",
        "8",
        "-target",
        "8",
        "-cp",
        libraries,
        "-d",
        str(folder),
        *map(str, folder.glob("*.java")),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    found = {klass.name: klass for klass in parse(javap(sorted((folder / "joren").glob("*.class"))))}
    ram = found.pop("Ram")
    return {name: [str(finding) for finding in lint([ram, klass])] for name, klass in found.items()}


@pytest.mark.parametrize("number", range(len(GOOD)))
def test_nothing_is_found_where_nothing_is(cases: dict[str, list[str]], number: int) -> None:
    assert cases[f"Case{number}"] == []


@pytest.mark.parametrize("number", range(len(BAD)))
def test_each_fault_is_found(cases: dict[str, list[str]], number: int) -> None:
    _body, _more, expected = BAD[number]
    found = cases[f"Case{len(GOOD) + number}"]
    assert [finding for finding in found if expected in finding], found
