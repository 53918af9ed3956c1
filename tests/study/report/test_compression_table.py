"""The cells of a compression's tables, from what compress.json has."""

from lensmith.study.report.compression_table import compression, latency_cells, score_cells

ORIGINAL = {"name": "original", "score": 0.9, "interval": [0.85, 0.95], "file": 4_000_000, "parameters": 1_000_000,
            "multiply_adds": 5_000_000, "memory": 6_000_000, "memory_in": {"onnxruntime": 9_000_000},
            "latency": {"torch": {"p50": 0.004, "p95": 0.008}, "onnxruntime": {"p50": 0.002, "p95": 0.003}}}
INT8 = ORIGINAL | {"name": "INT8", "difference": {"value": -0.01, "low": -0.02, "high": 0.0}, "file": 1_000_000,
                   "memory": None, "memory_in": {}, "outputs_differ": 0.125, "remarks": ["it is slower"],
                   "latency": {"onnxruntime": {"p50": 0.0025, "p95": 0.003}}}


def test_each_form_is_a_row_of_scores_and_a_row_a_runtime():
    assert score_cells([ORIGINAL, INT8]) == [
        ("original", "0.9000", "0.8500 to 0.9500", "-", "4.00", "1,000,000", "5,000,000", "-"),
        ("INT8", "0.9000", "0.8500 to 0.9500", "-0.0100 (-0.0200 to +0.0000)", "1.00", "1,000,000", "5,000,000",
         "0.12")]
    assert latency_cells([ORIGINAL, INT8]) == [
        ("original", "torch", "4.00", "8.00", "1.00", "6.0"),
        ("original", "onnxruntime", "2.00", "3.00", "1.00", "9.0"),
        ("INT8", "onnxruntime", "2.50", "3.00", "0.80", "-")]


def test_what_was_not_measured_is_no_table():
    assert compression({}) is None and compression({"rows": []}) is None
    shown = compression({"rows": [ORIGINAL, INT8], "score": "accuracy_top1", "split": "test"})
    assert shown is not None and shown["title"] == "accuracy_top1 on test"
    assert all(len(columns) == len(row) for columns, rows in shown["tables"] for row in rows)
    assert shown["remarks"] == ["INT8: it is slower"]
