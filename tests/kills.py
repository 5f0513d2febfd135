"""Commands that are killed, or interrupted, at stated moments.

What is on a disk changes where a finished file takes its name. A moment is therefore a number of such steps, not a
time, which says little on a busy machine: the process sends itself SIGKILL right before or right after its n-th step.
"""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

KILLED = """
import atexit, os, signal, sys
from pathlib import Path

moment, counted = int(sys.argv[1]), sys.argv[2]
sys.argv = ["mdsvqa", *sys.argv[3:]]
parent, steps, replace = os.getpid(), 0, os.replace

def counting(*places, **settings):
    global steps
    if os.getpid() != parent:
        return replace(*places, **settings)
    steps += 1
    if steps == (moment + 1) // 2 and moment % 2:
        os.kill(parent, signal.SIGKILL)
    replace(*places, **settings)
    if steps == moment // 2 and moment % 2 == 0:
        os.kill(parent, signal.SIGKILL)

os.replace = counting
atexit.register(lambda: Path(counted).write_text(str(steps)))
from mdsvqa.runtime import results
# Else a minute's work is one file, and so is a whole result here.
results.WAITING = 0.0
from mdsvqa.__main__ import main
main()
"""

# Sends itself the interrupt when the n-th file is about to take its name, or before anything is imported (0).
INTERRUPTED = """
import os, signal, sys
moment = int(sys.argv[1])
sys.argv = ["mdsvqa", *sys.argv[2:]]
parent, steps, replace = os.getpid(), 0, os.replace

def counting(*places, **settings):
    global steps
    steps += os.getpid() == parent
    if os.getpid() == parent and steps == moment:
        os.kill(parent, signal.SIGINT)
    replace(*places, **settings)

os.replace = counting
from mdsvqa.__main__ import main
if moment == 0:
    from importlib.abc import MetaPathFinder
    class Interrupting(MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name == "typer":
                os.kill(parent, signal.SIGINT)
    sys.meta_path.insert(0, Interrupting())
main()
"""


def run(command: list[str], counted: Path, moment: int = 0) -> tuple[int, int]:
    """One `mdsvqa` command: how it ended, and how many files it finished (0 where it was killed).

    Args:
        moment: twice the number of finished files after which it is killed, or one less for right before that file
            takes its name. 0 for never.
    """
    counted.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(moment), str(counted), *command],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()
    return done.returncode, int(counted.read_text()) if counted.exists() else 0


def kill_often(undisturbed: list[str], disturbed: list[str], folder: Path, times: int = 10) -> None:
    """Runs one command whole, and the other killed at so many random moments and then whole."""
    ended, steps = run(undisturbed, folder / "counted")
    assert ended == 0
    assert 2 * steps > times, f"only {steps} files: too few to be killed at {times} moments"
    finished, draws = 0, random.Random(0)
    for moment in sorted(draws.sample(range(1, 2 * steps), times)):
        # What a killed run has finished stays, so the next one has that much less to do, and every kill hits.
        assert run(disturbed, folder / "counted", moment - 2 * finished)[0] == -signal.SIGKILL
        finished = moment // 2
    assert run(disturbed, folder / "counted")[0] == 0
