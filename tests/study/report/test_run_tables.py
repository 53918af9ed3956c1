"""What a report's tables say of how a run went."""

from lensmith.study.report.run_tables import candidates


def test_the_candidates_of_a_plan():
    rows = candidates({"timings": [
        {"precision": "bfloat16", "layout": "channels_last", "threads": 2, "compiled": False,
         "rewrites": ["pool_first"], "milliseconds": 3.141, "verdict": "chosen"},
        {"precision": "float32", "layout": "contiguous", "threads": 2, "compiled": True, "rewrites": [],
         "milliseconds": None, "verdict": "refused: too far"}, "damaged"]})
    assert rows == [("bfloat16, channels_last, threads 2, pool first", "3.14", "chosen"),
                    ("float32, contiguous, threads 2, compiled", "–", "refused: too far")]
    assert candidates({}) == []
