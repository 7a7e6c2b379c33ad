"""The model and the Java Card applet side by side under random commands: run_differ.py [--apdus N] [--seed S] [--jobs J].

Called by ./run differ. Prints every difference, shrunk to few steps, and how much was done. Exit status 1 where there was one.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from differ import Different, World, random_steps, run_steps, shrink
from differ_secured import SecuredWorld, random_secured_steps, run_secured_steps
from javakit import built, java_twin

__all__ = ["main", "one_world"]

STEPS, SECURED_STEPS = 400, 150
SECURED_EVERY, BLANK_EVERY = 4, 5


def one_world(seed: int) -> tuple[int, int, int, str]:
    """Runs one world: APDUs, those of them answered 9000, tears, and the difference, if there was one."""
    if seed % SECURED_EVERY == 0:
        secured = SecuredWorld(seed, java_twin)
        told = ""
        try:
            run_secured_steps(secured, random_secured_steps(seed, SECURED_STEPS))
        except Different as different:
            told = f"seed {seed}, secured: {different}"
        return secured.tally.apdus, secured.tally.ok, secured.tally.tears, told
    blank = seed % BLANK_EVERY == 0
    steps, world = random_steps(seed, STEPS, blank=blank), World(seed, java_twin, blank=blank)
    try:
        run_steps(world, steps)
    except Different as different:
        few = shrink(lambda: World(seed, java_twin, blank=blank), steps)
        return world.tally.apdus, world.tally.ok, world.tally.tears, f"seed {seed}: {different}\nfew steps: {few}"
    return world.tally.apdus, world.tally.ok, world.tally.tears, ""


def main() -> int:
    """Runs worlds until there were so many APDUs. Answers the exit status."""
    parser = argparse.ArgumentParser(prog="run differ", description="The model and the Java Card applet under the same random commands.")
    parser.add_argument("--apdus", type=int, default=1_000_000, help="how many, at least (1,000,000)")
    parser.add_argument("--seed", type=int, default=1, help="the first world's seed (1)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (as many as there are processors)")
    arguments = parser.parse_args()
    built()
    apdus = ok = tears = differences = 0
    seed, began = arguments.seed, time.monotonic()
    with ProcessPoolExecutor(arguments.jobs) as pool:
        running = {pool.submit(one_world, seed + number) for number in range(2 * arguments.jobs)}
        seed += len(running)
        while running:
            done = next(as_completed(running))
            running.remove(done)
            count, fine, torn, told = done.result()
            apdus, ok, tears, differences = apdus + count, ok + fine, tears + torn, differences + bool(told)
            if told:
                print(told, flush=True)
            if apdus < arguments.apdus:
                running.add(pool.submit(one_world, seed))
                seed += 1
            if sys.stderr.isatty():
                print(f"\r{apdus:,} of {arguments.apdus:,} APDUs, {differences} differences", end="", file=sys.stderr, flush=True)
    seconds = time.monotonic() - began
    if sys.stderr.isatty():
        print(file=sys.stderr)
    print(f"{apdus:,} APDUs on each program, {ok:,} of them answered 9000, {tears:,} torn, {differences} differences, {seconds:.0f} s")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
