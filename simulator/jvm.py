"""The Java virtual machine in which Java Card applets run: started when it is needed, one for the whole process, with many cards in it.

How it works. The harness (applet/javacard/src/harness) reads frames from its standard input and answers each on its standard output.
Before its answer it may ask for random bytes or for a decryption, which whoever sent the frame answers. When it dies, whoever waited for
it is told so, and the next frame starts another, which knows no card. `number` tells one machine from the next.
"""

import atexit
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from threading import RLock
from typing import IO

__all__ = ["BUILD", "CHANNELS", "Ask", "Jvm", "JvmDied", "NoJava", "classes_folder", "the_jvm"]

BUILD = Path(__file__).resolve().parent.parent / "build" / "javacard"
"""What `joren applet build` makes."""
CHANNELS = ("globalplatform", "own")
MAIN = "joren.harness.Main"
OPTIONS = ("-XX:+UseSerialGC", "-Xshare:auto", "-Xss1m", "-Djava.awt.headless=true")
COVERAGE = "JOREN_JAVACARD_COVERAGE"
"""The environment variable with the folder for JaCoCo's files; where there is none, no coverage is taken."""
LENGTH_SIZE = 4
CHUNK = 1 << 16
TOLD_MAX = 2_000
STOP_SECONDS = 10
DONE, CUT, FAULT, ASK_RANDOM, ASK_DECRYPT = range(5)
Ask = Callable[[int, bytes], bytes]
"""Answers ASK_RANDOM (its u16: how many bytes) or ASK_DECRYPT (a u16 of length, and the data)."""


class NoJava(Exception):
    """No Java here, or nothing built for it; says the command that helps."""


class JvmDied(Exception):
    """The virtual machine ended in the middle of a frame; says how. The next frame starts another."""


def classes_folder(channel: str = CHANNELS[0]) -> Path:
    """The folder of the compiled classes. Raises NoJava where they are not built."""
    folder = BUILD / channel / "classes"
    if not (folder / Path(*MAIN.split(".")).with_suffix(".class")).is_file():
        raise NoJava(f"Java Card applet: its classes expected in {folder}, they are not there; joren applet build makes them")
    return folder


def find_java() -> str:
    """The `java` to run. Raises NoJava."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=None if home is None else f"{home}/bin") or shutil.which("java")
    if found is None:
        raise NoJava("Java Card applet: a Java runtime expected, there is no java here; apt install default-jdk-headless maven")
    return found


class Jvm:
    """One virtual machine at a time. Safe for several threads, one frame at a time."""

    def __init__(self, channel: str = CHANNELS[0]) -> None:
        self.number = 0
        self._channel = channel
        self.lock = RLock()
        """Held while a frame is answered; whoever sends several that belong together holds it too."""
        self._process: subprocess.Popen[bytes] | None = None
        self._told: IO[bytes] | None = None
        self._buffer = b""

    @property
    def pid(self) -> int | None:
        """Of the machine that runs."""
        return None if self._process is None else self._process.pid

    def ensure(self) -> int:
        """Starts a machine where none runs; answers its number. Raises NoJava."""
        with self.lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            return self.number

    def _start(self) -> None:
        self.stop()
        folder, java = classes_folder(self._channel), find_java()
        arguments = [java, *OPTIONS, "-cp", f"{folder}{os.pathsep}{folder.parent / 'lib'}/*", MAIN, str(folder)]
        if where := os.environ.get(COVERAGE):
            arguments.append(str(Path(where) / f"{os.getpid()}-{self.number}.exec"))
        self._told = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop
        self._process = subprocess.Popen(  # noqa: S603
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._told, bufsize=0
        )
        self._buffer = b""
        self.number += 1

    def exchange(self, frame: bytes, ask: Ask) -> bytes:
        """Sends a frame and gives the answer; what is asked before it, `ask` answers. Raises NoJava, JvmDied."""
        with self.lock:
            self.ensure()
            self._send(frame)
            while True:
                answer = self._receive()
                if answer[0] not in (ASK_RANDOM, ASK_DECRYPT):
                    return answer
                self._send(ask(answer[0], answer[1:]))

    def _send(self, frame: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        rest = memoryview(len(frame).to_bytes(LENGTH_SIZE) + frame)
        try:
            while rest:
                rest = rest[self._process.stdin.write(rest) :]
        except OSError:
            self._died()

    def _receive(self) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        file, buffer = self._process.stdout.fileno(), self._buffer
        while len(buffer) < LENGTH_SIZE or len(buffer) < LENGTH_SIZE + int.from_bytes(buffer[:LENGTH_SIZE]):
            more = os.read(file, CHUNK)
            if not more:
                self._died()
            buffer += more
        end = LENGTH_SIZE + int.from_bytes(buffer[:LENGTH_SIZE])
        self._buffer = buffer[end:]
        return buffer[LENGTH_SIZE:end]

    def _died(self) -> None:
        assert self._process is not None
        assert self._told is not None
        code = self._process.wait()
        self._told.seek(0)
        told = self._told.read()[-TOLD_MAX:].decode(errors="replace").strip()
        self.stop()
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        raise JvmDied(f"the Java virtual machine ended, {how}" + (f": {told}" if told else ""))

    def stop(self) -> None:
        """Ends the machine; the next frame starts another."""
        with self.lock:
            process, self._process = self._process, None
            told, self._told = self._told, None
            if process is not None:
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.close()
                try:
                    process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                process.stdout.close()
            if told is not None:
                told.close()


MACHINES: dict[tuple[int, str], Jvm] = {}


def the_jvm(channel: str = CHANNELS[0]) -> Jvm:
    """This process's own for a build; it ends with the process."""
    key = (os.getpid(), channel)
    if key not in MACHINES:
        MACHINES[key] = Jvm(channel)
        atexit.register(MACHINES[key].stop)
    return MACHINES[key]
