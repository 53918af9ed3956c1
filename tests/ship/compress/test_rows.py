"""What is said of a form of a network beside the first one."""

import pytest

from lensmith.ship.compress import rows
from lensmith.ship.compress.paired import Difference
from lensmith.ship.compress.rows import BOTH, INT8, ORIGINAL, PRUNED, CompressionRow, remarks
from lensmith.ship.runtimes.latency import Latency


def took(milliseconds: float) -> Latency:
    return Latency(milliseconds / 1e3, milliseconds / 1e3, milliseconds / 1e3, 9)


FIRST = CompressionRow(ORIGINAL, "runs/a", 0.9, latency={"torch": took(4), "onnxruntime": took(2)}, file=1000)


@pytest.mark.parametrize(("has", "why"), [(False, ": this processor has no instructions for INT8 (VNNI or AMX)"),
                                          (True, "")])
def test_what_is_slower_is_called_so_with_the_reason_where_it_is_known(has: bool, why: str,
                                                                       monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rows, "multiplies_int8", lambda: has)
    slower = {"torch": took(3), "onnxruntime": took(2.5)}
    said = "SLOWER in onnxruntime, 2.50 ms where original takes 2.00"
    for name in (INT8, BOTH):
        assert remarks(CompressionRow(name, "", latency=slower), FIRST) == (said + why,)
    assert remarks(CompressionRow(PRUNED, "", latency=slower), FIRST) == (said,)
    assert remarks(CompressionRow(INT8, "", latency={"onnxruntime": took(2.02), "openvino": took(9)}), FIRST) == ()


def test_what_is_lost_is_judged_by_what_was_asked_and_by_chance():
    lost = CompressionRow(PRUNED, "", difference=Difference(-0.02, -0.03, -0.01), file=1000)
    assert remarks(lost, FIRST, lose=0.01) == ("its file is no smaller",
                                               "it loses 0.0200, more than the 0.01 that were asked for")
    chance = CompressionRow(PRUNED, "", difference=Difference(-0.02, -0.05, 0.01), file=999)
    assert remarks(chance, FIRST, lose=0.03) == ("the difference of the scores is within chance",)
    few = CompressionRow(PRUNED, "", difference=Difference(0.1))
    assert remarks(few, FIRST) == ("too few pictures to tell the difference of the scores from chance",)
