"""Runs commands one after another, each in a process of its own that is forked from one with PyTorch loaded.

Reads lines of JSON, {"words": [...], "wait": seconds}, and writes one of JSON for each: exit code (None where it had to
be ended), stdout, stderr, seconds of the processor, and the most bytes of memory that one of its processes had.
"""

import json
import os
import signal
import sys
import tempfile
import time
import warnings

import lensmith.training.from_file  # noqa: F401, what commands import
from lensmith.cli.app import main


def run(words: list[str]) -> None:
    """The command, in the process that was forked for it."""
    sys.argv = ["lensmith", *words]
    warnings.simplefilter("ignore")
    code = 1
    try:
        main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def ended(words: list[str], wait: float) -> dict:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = os.fork()
        if process == 0:
            os.setsid()
            for stream, number in ((out, 1), (err, 2)):
                os.dup2(stream.fileno(), number)
            run(words)
        until = time.monotonic() + wait
        while (found := os.wait4(process, os.WNOHANG))[0] == 0 and time.monotonic() < until:
            time.sleep(0.01)
        code = os.waitstatus_to_exitcode(found[1]) if found[0] else None
        if code is None:
            os.killpg(process, signal.SIGKILL)
            found = os.wait4(process, 0)
        usage, texts = found[2], []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode("utf-8", "replace"))
        return {"code": code, "out": texts[0], "err": texts[1], "seconds": usage.ru_utime + usage.ru_stime,
                "memory": usage.ru_maxrss * 1024}


if __name__ == "__main__":
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(ended(asked["words"], asked["wait"])), flush=True)    # noqa: T201
