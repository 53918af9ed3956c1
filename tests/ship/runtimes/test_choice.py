"""The choice of a runtime: who is timed, who is refused, what is kept, and for which batches each holds."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lensmith.base.device import Busy
from lensmith.base.errors import ModelError, UserError
from lensmith.ship.runtimes import choice as choosing
from lensmith.ship.runtimes.candidates import Candidate, for_files, missing, runtime_and_precision, thread_numbers
from lensmith.ship.runtimes.choice import FastestWay, Way, choice_from, choose_way

ONE, EIGHT = torch.zeros((1, 3, 8, 8), dtype=torch.uint8), torch.zeros((8, 3, 8, 8), dtype=torch.uint8)
NOW, COMPUTED = [0.0], [0.0]    # seconds, which pass only where a way computes
SLOW, FAR = Candidate("torch", "float32", 2), Candidate("torch", "float32", 1)
FAST = Candidate("openvino", "float32", 1)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LENSMITH_CACHE", str(tmp_path))
    monkeypatch.setattr(choosing, "_SECONDS", 0.0)
    monkeypatch.setattr("time.perf_counter", lambda: NOW[0])
    monkeypatch.setattr("time.process_time", lambda: COMPUTED[0])
    monkeypatch.setattr(Busy, "others", lambda self: 0.1)
    return tmp_path / "runtimes"


def sleeping(opened: list[Candidate], candidate: Candidate, each: float, whole: float = 0.0, *,
             cpu: float = 1.0) -> Callable[[], Way]:
    """Opens a way that takes so many seconds a picture and a batch, and says who computed. It computes for `cpu` times
    as long."""
    def run(pictures: Tensor) -> str:
        NOW[0] += whole + each * len(pictures)
        COMPUTED[0] += cpu * (whole + each * len(pictures))
        return candidate.runtime

    def opener() -> Way:
        opened.append(candidate)
        return Way(run, lambda output: {})

    return opener


def agrees(candidate: Candidate, way: Way, pictures: Tensor) -> str:
    return ""


def test_the_fastest_is_taken_and_kept(cache: Path):
    opened: list[Candidate] = []
    openers = {one: sleeping(opened, one, seconds) for one, seconds in ((SLOW, 0.006), (FAST, 0.001), (FAR, 0.006))}
    choice, way = choose_way(openers, agrees, ONE, means="a")
    assert choice.candidate == FAST and way.run(ONE) == "openvino" and choice.source == "timed"
    verdicts = {tried.candidate: tried.verdict for tried in choice.tried}
    assert verdicts == {FAST: "chosen", SLOW: "slower", FAR: "not tried: torch was far slower"}
    assert choice.in_words().startswith("openvino, 1 thread for one picture: openvino ")
    kept = json.loads(next(cache.glob("*.json")).read_text())
    assert (kept["runtime"], kept["threads"], kept["pictures"]) == ("openvino", 1, 1)
    opened.clear()
    again, _ = choose_way(openers, agrees, ONE, means="a")
    assert opened == [FAST] and again.source == "the cache" and again.tried[0].candidate == FAST
    choose_way(openers, agrees, ONE, means="b")
    choose_way(openers, agrees, EIGHT, means="a")
    assert len(list(cache.glob("*.json"))) == 3


def test_what_is_kept_is_made_again_where_it_is_damaged_or_of_a_busy_hour(cache: Path):
    openers = {one: sleeping([], one, seconds) for one, seconds in ((SLOW, 0.002), (FAST, 0.001))}
    choose_way(openers, agrees, ONE, means="a")
    file = next(cache.glob("*.json"))
    for content in ("", "[]", '{"runtime": "torch"}', file.read_text().replace('"pictures": 1', '"pictures": 0')):
        file.write_text(content)
        assert choose_way(openers, agrees, ONE, means="a")[0].source == "timed"
    for load, hours, source in ((0.1, 9, "the cache"), (0.9, 0, "the cache"), (0.9, 9, "timed")):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"other_load": load}))
        os.utime(file, (time.time() - 3600 * hours,) * 2)
        assert choose_way(openers, agrees, ONE, means="a")[0].source == source


def test_who_answers_otherwise_or_cannot_be_opened_is_refused():
    def broken() -> Way:
        raise ModelError("it cannot be opened")

    openers = {FAST: sleeping([], FAST, 0.0), SLOW: sleeping([], SLOW, 0.005), FAR: broken}
    choice, _ = choose_way(openers, lambda candidate, way, pictures: "it lies" * (candidate == FAST), ONE, means="a")
    assert choice.candidate == SLOW
    assert {tried.candidate: tried.verdict for tried in choice.tried} == {
        SLOW: "chosen", FAST: "refused: it lies", FAR: "refused: it cannot be opened"}
    assert choice_from(json.loads(json.dumps(choice.as_json())), "timed").as_json() == choice.as_json()
    with pytest.raises(ModelError, match="torch: it cannot be opened"):
        choose_way({FAST: broken, FAR: broken}, agrees, ONE, means="b")


def test_cpu_time_decides_where_other_programs_hold_the_cores(monkeypatch: pytest.MonkeyPatch):
    openers = {FAST: sleeping([], FAST, 0.002, cpu=2.0), SLOW: sleeping([], SLOW, 0.003, cpu=1.0)}
    quiet, _ = choose_way(openers, agrees, ONE, means="a")
    assert quiet.candidate == FAST and quiet.clock == "time" and "CPU" not in quiet.in_words()
    monkeypatch.setattr(Busy, "others", lambda self: 0.8)
    busy, _ = choose_way(openers, agrees, ONE, means="b")
    assert busy.candidate == SLOW and busy.clock == "CPU time" and busy.other_load == 0.8
    assert busy.in_words().endswith("torch 3.00 ms, openvino 4.00 ms a picture by CPU time, since other programs hold "
                                    "the cores")


def test_a_long_batch_is_cut_while_it_is_timed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(choosing, "_LONG", 0.02)
    choice, _ = choose_way({FAST: sleeping([], FAST, 0.005), SLOW: sleeping([], SLOW, 0.008)}, agrees, EIGHT, means="a")
    assert choice.candidate == FAST and 2 <= choice.pictures <= 4


def test_single_pictures_and_batches_have_their_own_choice_and_sizes_that_a_file_cannot_take_go_to_torch():
    told: list[str] = []
    openers = {SLOW: sleeping([], SLOW, 0.0, whole=0.008), FAST: sleeping([], FAST, 0.002)}
    fastest = FastestWay(openers, agrees, means="a", limited=lambda size: ["openvino"] * (size != (8, 8)),
                         tell=told.append)
    assert fastest(ONE) == "openvino" and fastest(EIGHT) == "torch" and fastest(EIGHT[:5]) == "torch"
    assert fastest(torch.zeros((1, 3, 9, 9), dtype=torch.uint8)) == "torch"
    assert [row["runtime"] for row in fastest.account()] == ["openvino", "torch", "torch"]
    assert [text.partition(" for ")[0] for text in told[:2]] == ["runtime openvino, 1 thread",
                                                                 "runtime torch, 2 threads"]


def test_candidates_are_runtimes_precisions_and_threads(monkeypatch: pytest.MonkeyPatch):
    assert thread_numbers(1) == (1,) and thread_numbers(2) == (2, 1) and thread_numbers(16) == (16, 8, 1)
    monkeypatch.setattr("lensmith.ship.runtimes.candidates.multiplies_bfloat16", lambda: True)
    assert [one.in_words() for one in for_files(["onnxruntime", "openvino"], (2, 1))] == [
        "onnxruntime, 2 threads", "onnxruntime, 1 thread", "openvino, 2 threads", "openvino, 1 thread",
        "openvino:bfloat16, 2 threads", "openvino:bfloat16, 1 thread"]
    assert [one.name for one in for_files(["openvino"], (1,), of_file="int8")] == ["openvino"]
    assert runtime_and_precision("torch:bfloat16") == ("torch", "bfloat16")
    assert runtime_and_precision("openvino") == ("openvino", "float32")
    monkeypatch.setattr("lensmith.ship.runtimes.candidates.is_installed", lambda package: package == "torch")
    assert missing() == dict.fromkeys(("onnxruntime", "openvino"), 'pip install "lensmith[deploy]"')


@pytest.mark.parametrize(("text", "words"), [
    ("openvnio", "unknown predict.runtime 'openvnio'. Did you mean 'openvino'?"),
    ("openvino:int4", "predict.runtime=openvino:int4: openvino computes in float32 or bfloat16; got 'int4'"),
    ("onnxruntime:bfloat16", "onnxruntime computes in float32; got 'bfloat16'"),
    ("openvino:bfloat16", "this processor has no instructions for bfloat16 (avx512_bf16 or amx_bf16)")])
def test_a_runtime_that_cannot_be_had_is_one_line(text: str, words: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lensmith.ship.runtimes.candidates.multiplies_bfloat16", lambda: False)
    with pytest.raises(UserError) as refused:
        runtime_and_precision(text)
    assert words in str(refused.value) and "\n" not in str(refused.value)
