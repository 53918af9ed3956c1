"""The report in Chinese: whole, with the user's own words and all code as they are."""

import re
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from lensmith.recipe.settings import RunSettings
from lensmith.study.doctor import FAULTS
from lensmith.study.report.language import _TOKENS, ENGLISH, LANGUAGES, _phrases, in_language

DOCTOR = Path(__file__).parents[3] / "lensmith" / "study" / "doctor"


def test_the_setting_has_the_languages_there_are():
    assert get_args(get_type_hints(RunSettings)["language"]) == (ENGLISH, *LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_translation_uses_no_more_gaps_than_its_phrase_has(language: str):
    phrases = _phrases(language)
    for english, text in phrases.whole.items():
        assert "{" not in text.replace("{}", ""), english
    for pattern, text in phrases.patterns:
        assert max(map(int, re.findall(r"{(\d)}", text)), default=-1) < pattern.groups, text


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_fault_has_its_name_in_each_language(language: str):
    for name in FAULTS:
        assert _phrases(language).translated(name[:1].upper() + name[1:]), name


def test_whatever_is_said_of_waiting_is_said_in_each_language():
    from lensmith.engine.learner import Report
    from lensmith.training.waiting_advice import advice

    for epoch, kept, augment in ((1, "memory", {}), (2, "memory", {}), (2, "file", {}), (2, "not", {}),
                                 (2, "memory", {"mosaic": 1.0})):
        text = advice(Report(1, 2, epoch, 0.5, waited=0.3), kept, augment)
        assert text and all(_phrases(language).translated(text) for language in LANGUAGES), text


def test_text_is_translated_and_code_names_and_markup_are_not():
    page = ('<html lang="en"><style>p { content: "class" }</style><h2>Learning</h2><p>Always naming &#39;a&#39; would '
            'score 0.5. Nothing else.</p><td>class</td><td>train</td><pre>class</pre><code>loss</code>')
    assert in_language(page, "en") == page
    found = in_language(page, "zh", names={"train"})
    assert found == ('<html lang="zh"><style>p { content: "class" }</style><h2>学习过程</h2><p>'
                     '总是回答 &#x27;a&#x27; 会得到 0.5。Nothing else.</p>'
                     '<td>类别</td><td>train</td><pre>class</pre><code>loss</code>')


def english_left(page: str) -> list[str]:
    """The texts of a page without a Chinese letter that have two English words or more."""
    texts = [found[0].strip() for found in _TOKENS.finditer(page) if not found[0].startswith("<")]
    return [text for text in texts if re.search(r"[A-Za-z]{3,} [a-z]{3,}", text)
            and not re.search("[\u4e00-\u9fff]", text)]


@pytest.mark.parametrize("task", ["classification", "detection", "segmentation"])
def test_a_report_of_each_kind_is_chinese(tmp_path: Path, task: str):
    import lensmith

    run = lensmith.train("shapes", task=task, epochs=1, runs=tmp_path, size=32, backbone="simple2",
                         settings={"data.count": 60, "run.language": "zh", "plan.mode": "exact"})
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "<h2>学习过程</h2>" in page and 'lang="zh"' in page
    left = [text for text in english_left(page) if not re.match(r"count \d|float32|torch |Linux|Intel|AMD", text)]
    assert not left


@pytest.mark.parametrize("language", LANGUAGES)
def test_whatever_is_said_of_a_compression_is_said_in_each_language(language: str, monkeypatch: pytest.MonkeyPatch):
    from lensmith.ship.compress import rows
    from lensmith.ship.compress.paired import Difference
    from lensmith.ship.runtimes.latency import Latency
    from lensmith.study.report.compression_table import COLUMNS, LATENCY_COLUMNS

    monkeypatch.setattr(rows, "multiplies_int8", lambda: False)
    quick, slow = ({"ONNX Runtime": Latency(seconds, seconds, seconds, 20)} for seconds in (0.001, 0.002))
    first = rows.CompressionRow(rows.ORIGINAL, "a", latency=quick, file=10)
    said = [f"{name}: {remark}" for name in (rows.PRUNED, rows.INT8, rows.BOTH)
            for difference in (Difference(-0.2, -0.3, 0.1), Difference(-0.2, None, None))
            for remark in rows.remarks(rows.CompressionRow(name, "b", latency=slow, file=10, difference=difference),
                                       first, lose=0.01)]
    said += ["INT8: 2 of 9 layers stay in float32: conv1, conv2",
             "both: it loses 0.0200 in ONNX Runtime on valid by INT8, more than the 0.01 that were asked for",
             "pruned: 1.20 times as fast in torch, where 2 were asked for"]
    assert len(said) >= 27
    for text in (*said, *filter(None, (*COLUMNS, *LATENCY_COLUMNS))):
        translated = _phrases(language).translated(text)
        assert text in ("95 %", "p50 ms", "p95 ms") or translated, text
        assert not re.search("[a-z]{3,} [a-z]{3,}", translated or ""), translated
