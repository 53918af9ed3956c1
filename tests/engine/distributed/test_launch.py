"""Several processes from one command: what they are given, how a bad end is told, and that none is left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lensmith.base.errors import Stopped, UserError
from lensmith.engine.distributed.launch import launch, processes_of, wanted_processes


def program(tmp_path: Path, text: str) -> list[str]:
    """A small program, quicker to start than one that imports PyTorch."""
    path = tmp_path / "program.py"
    path.write_text(f"import os, signal, socket, sys, time\nrank = int(os.environ['RANK'])\n{text}\n")
    return [str(path)]


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def wait_for(true, seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_each_process_is_told_its_place_and_the_first_alone_writes_to_stdout(tmp_path, capfd):
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR")
    told = program(tmp_path, f"text = ' '.join(os.environ[name] for name in {names!r}) + ' ' + sys.argv[1]\n"
                             "print(text)\nprint(text, file=sys.stderr)")
    assert launch(3, ["given"], program=told) == 0
    out, err = capfd.readouterr()
    assert out == "0 3 0 3 127.0.0.1 given\n"
    assert sorted(err.splitlines()) == [f"{rank} 3 {rank} 3 127.0.0.1 given" for rank in range(3)]


def test_the_meeting_point_listens_in_the_first_process(tmp_path):
    meets = program(tmp_path, "if rank == 0:\n"
                              "    there = socket.socket(fileno=int(os.environ['LENSMITH_LISTEN']))\n"
                              "    there.accept()[0].sendall(b'met')\n"
                              "else:\n"
                              "    there = socket.create_connection(('127.0.0.1', int(os.environ['MASTER_PORT'])))\n"
                              "    assert there.recv(3) == b'met'")
    assert launch(2, [], program=meets) == 0


def test_the_exit_code_is_that_of_the_first_process_which_has_said_why(tmp_path):
    assert launch(2, [], program=program(tmp_path, "sys.exit(3)")) == 3


def test_a_killed_process_is_named_to_the_others(tmp_path):
    heard = tmp_path / "heard"
    killed = program(tmp_path, f"""if rank == 1:
    os.kill(os.getpid(), signal.SIGKILL)
line = socket.socket(fileno=int(os.environ['LENSMITH_LAUNCHER']))
open({str(heard)!r}, 'wb').write(line.recv(1000))
sys.exit(6)""")
    assert launch(2, [], program=killed) == 6
    assert heard.read_text() == "process 1 of 2 was killed by SIGKILL\n"


def test_where_the_first_process_is_killed_the_launcher_says_it_and_how_to_go_on(tmp_path):
    killed = program(tmp_path, """line = socket.socket(fileno=int(os.environ['LENSMITH_LAUNCHER']))
if rank == 0:
    line.sendall(b'runs/one\\n')
    os.kill(os.getpid(), signal.SIGKILL)
line.recv(1000)    # The word of what became of the first.
sys.exit(6)""")
    with pytest.raises(Stopped) as raised:
        launch(2, [], program=killed)
    assert str(raised.value) == ("process 0 of 2 was killed by SIGKILL; go on with: lensmith train --resume runs/one")
    assert raised.value.code == 6


@pytest.mark.parametrize("ended", [0, 1])
def test_a_process_that_does_not_end_by_itself_is_ended(tmp_path, monkeypatch, ended):
    monkeypatch.setattr("lensmith.engine.distributed.launch._GRACE", 0.2)
    monkeypatch.setattr("lensmith.engine.distributed.launch._SHORT", 0.2)
    numbers = tmp_path / "numbers"
    hangs = program(tmp_path, f"""open({str(numbers)!r}, 'a').write(f'{{os.getpid()}} ')
if rank == {ended}:
    sys.exit(5 if rank else 0)
os.kill(os.getpid(), signal.SIGSTOP)""")
    if ended:
        with pytest.raises(Stopped, match="process 1 of 2 ended with exit code 5"):
            launch(2, [], program=hangs)
    else:
        assert launch(2, [], program=hangs) == 0
    assert not [number for number in numbers.read_text().split() if alive(int(number))]


def test_a_run_that_the_first_process_has_ended_well_is_whole(tmp_path):
    assert launch(2, [], program=program(tmp_path, "time.sleep(0.5 * rank)\nsys.exit(7 * rank)")) == 0


LAUNCHES = """
import sys
from lensmith.base.errors import Stopped
from lensmith.engine.distributed.launch import launch
try:
    sys.exit(launch(2, [], program=sys.argv[1:]))
except Stopped as error:
    print(error, file=sys.stderr)
    sys.exit(error.code)
"""


def launcher(tmp_path: Path, text: str) -> subprocess.Popen:
    """`launch` in a process of its own, which can be given signals."""
    return subprocess.Popen([sys.executable, "-c", LAUNCHES, *program(tmp_path, text)], stderr=subprocess.PIPE,
                            text=True)


SAVES = """def saved(number, frame):
    open(f'saved{rank}', 'w').close()
    sys.exit(130)
signal.signal(signal.SIGTERM, saved)
open(f'began{rank}', 'w').write(str(os.getpid()))
time.sleep(60)"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_handed_on_so_that_all_can_save(tmp_path, monkeypatch, number):
    monkeypatch.chdir(tmp_path)
    process = launcher(tmp_path, SAVES)
    wait_for(lambda: all(Path(f"began{rank}").exists() for rank in (0, 1)))
    process.send_signal(number)
    assert process.communicate(timeout=30)[1] == "" and process.returncode == 130
    assert all(Path(f"saved{rank}").exists() for rank in (0, 1))


def test_a_second_signal_ends_what_does_not_listen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    process = launcher(tmp_path, SAVES.replace("sys.exit(130)", "pass").replace("time.sleep(60)",
                                                                               "while True: time.sleep(1)"))
    wait_for(lambda: all(Path(f"began{rank}").exists() for rank in (0, 1)))
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: all(Path(f"saved{rank}").exists() for rank in (0, 1)))
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30)[1].splitlines()[-1] == "interrupted" and process.returncode == 130
    assert not [rank for rank in (0, 1) if alive(int(Path(f"began{rank}").read_text()))]


WRITES = """def saves(number, frame):
    open(f'told{rank}', 'w').close()
def writes(number, frame):
    open(f'writes{rank}', 'w').close()
    time.sleep(SECONDS)
    open(f'wrote{rank}', 'w').close()
    sys.exit(130)
signal.signal(signal.SIGTERM, saves)
signal.signal(signal.SIGINT, writes)
socket.socket(fileno=int(os.environ['LENSMITH_LAUNCHER'])).sendall(b'runs/one\\n')
open(f'began{rank}', 'w').write(str(os.getpid()))
while True: time.sleep(1)"""


@pytest.mark.parametrize(("seconds", "told"), [
    (1, ""), pytest.param(60, "interrupted; go on with: lensmith train --resume runs/one\n", marks=pytest.mark.slow)])
def test_after_a_third_signal_the_first_process_has_the_time_to_write(tmp_path, monkeypatch, seconds, told):
    monkeypatch.chdir(tmp_path)
    process = launcher(tmp_path, WRITES.replace("SECONDS", str(seconds)))
    wait_for(lambda: all(Path(f"began{rank}").exists() for rank in (0, 1)))
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
    assert process.communicate(timeout=30)[1] == told and process.returncode == 130
    assert Path("wrote0").exists() == (seconds == 1) and Path("writes0").exists() and not Path("writes1").exists()
    assert not [rank for rank in (0, 1) if alive(int(Path(f"began{rank}").read_text()))]


def test_where_one_process_cannot_be_started_none_is_left(tmp_path, monkeypatch):
    started = []

    class Fails(subprocess.Popen):
        def __init__(self, *given, **named):
            if started:
                raise OSError("no more processes")
            super().__init__(*given, **named)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Fails)
    with pytest.raises(OSError, match="no more processes"):
        launch(2, [], program=program(tmp_path, "time.sleep(60)"))
    assert started[0].poll() is not None and not alive(started[0].pid)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize(("plan", "count"), [({}, 1), ({"processes": 3}, 3), ({"device": "cuda:0,2"}, 2),
                                             ({"device": "cuda:0,2", "processes": 2}, 2), ({"device": "cpu"}, 1),
                                             ({"device": "cuda:1"}, 1)])
def test_a_plan_says_how_many_processes(plan, count):
    assert wanted_processes(plan) == count


@pytest.mark.parametrize(("plan", "text"), [
    ({"processes": 0}, "plan.processes must be at least 1; got 0"),
    ({"processes": "two"}, "plan.processes must be at least 1; got 'two'"),
    ({"processes": 100_000}, "plan.processes=100000 is more than this machine has room for: at most"),
    ({"processes": 3, "device": "cuda:0,1"}, "plan.processes=3 and device 'cuda:0,1', which names 2, disagree: leave")])
def test_what_cannot_be_meant_is_refused(plan, text):
    with pytest.raises(UserError, match=text):
        wanted_processes(plan)


def test_a_run_folder_says_how_many_processes_it_began_with(tmp_path):
    assert processes_of(tmp_path) == 1
    (tmp_path / "recipe.toml").write_text("[plan]\nprocesses = 4\n")
    assert processes_of(tmp_path) == 4
    assert processes_of(Path(os.devnull)) == 1
