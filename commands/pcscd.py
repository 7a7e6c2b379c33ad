"""joren pcscd: a pcscd of one's own, with the virtual reader driver, for one program and all that it starts."""

import os
import shlex
import signal
import subprocess
import sys
from time import sleep

import click

from joren.simulator.pcscd import SLOTS_MAX, NoPcscd, PrivatePcscd

from .output import json_line, json_option, wants_json
from .serve import PRIVATE, interrupted

__all__ = ["pcscd"]

SIGNALLED = 128
LOOK_S = 0.5


@click.command("pcscd", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--slots", type=click.IntRange(1, SLOTS_MAX), default=2, show_default=True, help="How many cards can be in at once.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[--] [COMMAND...]")
@json_option
def pcscd(slots: int, command: tuple[str, ...]) -> None:
    """Run COMMAND with a pcscd of its own, whose readers joren card serve can fill; without COMMAND, until Ctrl-C.

    Nobody else sees these readers, and those of the system are not seen. It needs the system packages pcscd and vsmartcard-vpcd, and user
    namespaces or root. Other terminals join by the two variables that it prints where there is no COMMAND. Ends as COMMAND ends.

    \b
    Examples:
      joren pcscd -- sh -c 'joren card serve alice & sleep 2; opensc-tool -l; kill $!'
      joren pcscd --slots 4
    """
    with interrupted(), PrivatePcscd(slots=slots) as private:
        variables = {**private.environment, PRIVATE: str(private.folder)}
        if command:
            sys.exit(_run(command, variables))
        fields = {"folder": str(private.folder), "environment": variables, "readers": private.reader_names[:slots]}
        lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
        click.echo(json_line("pcscd", fields) if wants_json() else "\n".join(lines))
        while private.running:
            sleep(LOOK_S)
        raise NoPcscd("pcscd ended by itself; joren pcscd starts it again")


def _run(command: tuple[str, ...], variables: dict[str, str]) -> int:
    """The exit code of a command, as a shell tells it. Ctrl-C is the command's to obey."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        code = subprocess.run(command, env={**os.environ, **variables}, check=False).returncode  # noqa: S603
    except OSError as error:
        raise NoPcscd(f"{command[0]}: {error.strerror}; a program and its arguments expected") from None
    finally:
        signal.signal(signal.SIGINT, before)
    return code if code >= 0 else SIGNALLED - code
