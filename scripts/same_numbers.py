"""Whether two trees give the same numbers: the command line of each on the same small cases, everything compared.

    python scripts/same_numbers.py OLD [--new COMMIT] [--only NAME ...] [--keep FOLDER] [--sentences]

OLD is a commit; beside it runs the present working tree, or another commit. Both train with `--plan exact`, each on
a core of its own. Tensors, history, metrics, predictions and the texts of --dry-run must be equal; with --sentences so
must all that a person reads. A commit before `learner.norm_floor` gives other numbers wherever a network has batch
norm: compare those with learner.norm_floor=0 in the newer tree. What is compared stands in same_numbers_compare.py,
the cases in same_numbers_cases.py.
"""


import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType

from same_numbers_cases import Case, Step, cases
from same_numbers_compare import differences
from same_numbers_data import draw

REPOSITORY = Path(__file__).resolve().parent.parent
_LIMIT = 240.0         # seconds that a command may take
_GRACE = 50             # tenths of a second in which a training that is told to end can save
_COPIED = ("lensmith", "recipes")    # of the working tree, which others may change meanwhile
_DEBIAN = Path("/usr/share/datasets")    # where the package looks too
_KILLED = -signal.SIGKILL


class Tree:
    """One tree in a folder of its own: `tree/` its files, `cases/` what its commands wrote."""

    def __init__(self, folder: Path, data: Path):
        self.folder, self.data, self.given = folder, data, os.environ.get("LENSMITH_DATA", "")
        self.cases = folder / "cases"
        self.cases.mkdir(parents=True)
        # LENSMITH_CACHE: what one tree decoded is of no help to the other.
        own = {"PYTHONPATH": str(folder / "tree"), "OMP_NUM_THREADS": "1", "LENSMITH_CACHE": str(folder / "cache"),
               "COLUMNS": "120"}
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("same_numbers_runner.py"))], cwd=folder, text=True,
            env={**os.environ, **own}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        imported = json.loads(self._line())["lensmith"]
        if not str(imported).startswith(str(folder / "tree")):
            raise SystemExit(f"{imported} would be run in the place of {folder / 'tree'}")

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process that runs {self.folder / 'tree'} has ended")
        return line

    def work(self, case: Case) -> tuple[float, str]:
        """Run the steps of a case; -> seconds, and what went wrong, empty where every step ended as it should."""
        began, folder = time.monotonic(), self.cases / case.name
        folder.mkdir()
        for number, step in enumerate(case.steps):
            wrong = self._run(step, folder, f"{number:02d}-{step.arguments[0]}")
            if wrong:
                return time.monotonic() - began, wrong
        return time.monotonic() - began, ""

    def _run(self, step: Step, folder: Path, name: str) -> str:
        places = {"@data": str(self.data), "@tree": str(self.folder / "tree"), "@given": self.given}
        arguments = list(step.arguments)
        for word, place in places.items():
            arguments = [one.replace(word, place) for one in arguments]
        asked: dict[str, object] = {
            "arguments": arguments, "folder": str(folder), "out": str(folder / f"{name}.stdout"),
            "error": str(folder / f"{name}.stderr"), "limit": _LIMIT}
        if step.kill:
            asked |= {"watch": step.kill, "saves": step.saves}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        code, wanted = json.loads(self._line())["code"], _KILLED if step.kill else step.code
        if code == wanted:
            return ""
        told = Path(folder, f"{name}.stderr").read_text().strip().splitlines()[-1:]
        return f"lensmith {' '.join(step.arguments)}: exit code {code} in place of {wanted}; {' '.join(told)[:300]}"

    def close(self) -> None:
        """End the process and what it started; a training is given the time to save."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
                for _ in range(_GRACE):
                    self.process.poll()
                    os.killpg(self.process.pid, 0)    # raises once the last of the group has ended
                    time.sleep(0.1)


@contextmanager
def checked_out(commit: str | None, folder: Path) -> Iterator[None]:
    """The files of a commit in a new worktree at `folder`, removed at the end; without one those of this tree."""
    if commit is None:
        for name in _COPIED:
            shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        yield
        return
    git = ["git", "-C", str(REPOSITORY), "worktree"]
    made = subprocess.run([*git, "add", "--detach", "--force", str(folder), commit], capture_output=True, text=True,
                          check=False)
    try:
        if made.returncode:
            raise SystemExit(f"{commit}: {made.stderr.strip()}")
        yield
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], capture_output=True, check=False)
        subprocess.run([*git, "prune"], capture_output=True, check=False)


def chosen(every: Sequence[Case], only: Sequence[str] | None) -> list[Case]:
    """The cases that were asked for by name."""
    names = [case.name for case in every]
    unknown = [name for name in only or () if name not in names]
    if unknown:
        raise SystemExit(f"unknown case {', '.join(unknown)}; known: {' '.join(names)}")
    return [case for case in every if not only or case.name in only]


def compare(trees: Sequence[Tree], asked: Sequence[Case], *, sentences: bool) -> tuple[int, int]:
    """Run the cases in both trees side by side, a line each; -> how many passed and failed."""
    passed = failed = 0
    with ExitStack() as stack:
        workers = [ThreadPoolExecutor(1) for _ in trees]
        for worker in workers:
            stack.callback(worker.shutdown, wait=False, cancel_futures=True)
        running = [[worker.submit(tree.work, case) for case in asked]
                   for worker, tree in zip(workers, trees, strict=True)]
        for case, *pair in zip(asked, *running, strict=True):
            ended = [one.result() for one in pair]
            wrong = [f"{side}: {told}" for side, (_, told) in zip(("old", "new"), ended, strict=True) if told]
            wrong += differences(trees[0].cases / case.name, trees[1].cases / case.name,
                                 roots=(trees[0].folder, trees[1].folder), sentences=sentences)
            passed, failed = passed + (not wrong), failed + bool(wrong)
            print(f"{'differs' if wrong else 'equal':<7} {case.name:<24} {max(one for one, _ in ended):6.1f} s",
                  flush=True)
            for told in wrong:
                print("    " + told.replace("\n", "\n    "), flush=True)
    return passed, failed


def main() -> int:
    """Compare; -> 1 where anything differs."""
    reading = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reading.add_argument("old", metavar="OLD", help="a commit")
    reading.add_argument("--new", metavar="COMMIT", help="by itself the present working tree")
    reading.add_argument("--only", nargs="+", metavar="NAME", help="the cases to run, by itself all")
    reading.add_argument("--keep", type=Path, metavar="FOLDER", help="an empty folder to leave everything in")
    reading.add_argument("--sentences", action="store_true", help="compare what a person reads as well")
    given = reading.parse_args()
    signal.signal(signal.SIGTERM, _told_to_end)
    with ExitStack() as stack:
        if given.keep is not None:
            given.keep.mkdir(parents=True)
            root = given.keep.resolve()
        else:
            root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="same-numbers-"))).resolve()
        trees = []
        draw(root / "data")
        for side, commit in (("old", given.old), ("new", given.new)):
            stack.enter_context(checked_out(commit, root / side / "tree"))
        for side in ("old", "new"):
            trees.append(Tree(root / side, root / "data"))
            stack.callback(trees[-1].close)
        recipes = sorted(path.stem for path in (root / "old" / "tree" / "recipes").glob("*.toml"))
        asked = chosen(cases(recipes), given.only)
        absent = [case for case in asked if case.needs and not _is_there(case.needs)]
        for case in absent:
            print(f"skipped {case.name:<24} needs {case.needs} in LENSMITH_DATA")
        passed, failed = compare(trees, [case for case in asked if case not in absent],
                                 sentences=given.sentences)
    print(f"{passed} passed, {failed} failed")
    return int(failed > 0)


def _is_there(path: str) -> bool:
    given = os.environ.get("LENSMITH_DATA", "")
    return any((place / path).exists() for place in ([Path(given)] if given else []) + [_DEBIAN])


def _told_to_end(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
