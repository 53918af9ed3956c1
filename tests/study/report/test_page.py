"""What the report of a run says, and what it must never do."""

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lensmith.base.errors import DataError, UserError
from lensmith.study.report.page import report

Write = Callable[..., Path]
VOID = {"meta", "link", "br", "img", "path", "use", "image"}


class Page(HTMLParser):
    """The text of a page, its headings, tables and whatever it would fetch; fails where tags do not nest."""

    def __init__(self, path: Path):
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.open: list[str] = []
        self.headings: list[str] = []
        self.rows: list[list[str]] = []
        self.fetched: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(self.source)
        assert not self.open
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.fetched += [value or "" for name, value in attributes
                         if name in ("src", "href", "xlink:href", "srcset", "action", "data")]
        assert not any(name.startswith("on") for name, _ in attributes)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag in ("h1", "h2", "h3"):
            self.headings.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.text += data
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data.strip()
        if self.open and self.open[-1] in ("h1", "h2", "h3"):
            self.headings[-1] += data


def change(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_report_has_its_sections_in_order(write_run: Write) -> None:
    folder = write_run()
    path = report(folder)
    assert path == folder / "report.html"
    assert Page(path).headings == [
        "classification-1", "Learning", "What may keep it from learning", "Test: 400 pictures",
        "By class, the worst first", "Which class is taken for which", "Most confused", "The worst errors",
        "Validation: 400 pictures", "Data",
        "Splits", "Left out", "How it was made", "The command", "To use the network", "Plan", "Machine", "Recipe"]


def test_the_summary_says_the_score_its_interval_and_what_it_means(write_run: Write) -> None:
    folder = write_run()
    test = json.loads((folder / "metrics.json").read_text())["test"]
    text = Page(report(folder)).text
    low, high = test["intervals"]["accuracy_top1"]
    summary = text[: text.index("Learning")]
    assert f"{100 * test['accuracy_top1']:.2f} % accuracy_top1, 95 % interval {100 * low:.2f} % to {100 * high:.2f} %" \
        in summary
    right = round(400 * test["accuracy_top1"])
    assert f"The network names the right class for {right} of 400 test pictures." in summary
    assert "Always naming the most frequent class would be right for 10.0 %." in summary
    assert "Its most frequent mistake is to take Ankle boot for T-shirt/top." in summary
    assert "flatters" not in summary


def test_the_table_of_classes_is_sorted_worst_first(write_run: Write) -> None:
    folder = write_run()
    rows = json.loads((folder / "metrics.json").read_text())["test"]["details"]["per_class"]
    page = Page(report(folder))
    start = page.rows.index(["class", "precision", "recall", "f1", "support"])
    shown = page.rows[start + 1: start + 11]
    assert [row[0] for row in shown] == [row["class"] for row in sorted(rows, key=lambda row: row["f1"])]
    assert [row[4] for row in shown] == ["40"] * 10
    assert shown[0][3] == f"{min(row['f1'] for row in rows):.3f}"


def test_most_confused_pairs_data_plan_machine_recipe_and_commands_are_there(write_run: Write) -> None:
    folder = write_run()
    page = Page(report(folder))
    pairs = json.loads((folder / "metrics.json").read_text())["test"]["details"]["most_confused"]
    assert [pairs[0]["truth"], pairs[0]["predicted"], str(pairs[0]["count"]), f"{100 * pairs[0]['share']:.1f} %"] \
        in page.rows
    assert ["all", "3,200", "400", "400"] in page.rows and ["Bag", "320", "40", "40"] in page.rows
    assert ["train/Bag/broken.jpg", "is truncated"] in page.rows
    for text in ("1 file could not be used.", "1 x 28 x 28, 8 bits, fitted by crop", "5b1c0ffee5b1c0ff",
                 "10 % of the training pictures were set aside for validation.", "precision float32", "torch 2",
                 'activation = "sigmoid"', "lensmith train fashion-mnist --task classification --epochs 5",
                 f"lensmith predict {folder} picture.jpg", "Lensmith 0.1.0", "31.2 s",
                 "5 epochs; the weights of epoch 4 were kept as the best."):
        assert text in page.text, text


def test_the_worst_errors_are_pictures_inside_the_page(write_run: Write) -> None:
    folder = write_run()
    rows = json.loads((folder / "metrics.json").read_text())["test"]["worst"]
    page = Page(report(folder))
    inlined = [base64.b64decode(uri.split(",", 1)[1]) for uri in page.fetched
               if uri.startswith("data:image/png;base64,")]
    for row in rows:
        assert (folder / row["picture"]).read_bytes() in inlined
        assert row["file"] in page.text and row["predicted"] in page.text
    assert len(rows) == 24


@pytest.mark.parametrize("task", ["classification", "tagging", "regression", "segmentation"])
def test_a_report_opens_offline_and_runs_nothing(write_run: Write, task: str) -> None:
    page = Page(report(write_run(task)))
    assert all(uri.startswith(("#", "data:")) for uri in page.fetched)
    assert not {"script", "iframe", "object", "embed", "form", "base"} & page.tags
    assert "@import" not in page.source and not re.search(r"url\((?!#)", page.source)


def test_the_same_folder_gives_the_same_page(write_run: Write) -> None:
    folder = write_run()
    assert report(folder).read_bytes() == report(folder).read_bytes()


def test_strangers_text_stays_text(write_run: Write) -> None:
    nasty = ("<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "a & b", "$\\frac$", "猫", "{{ 7 * 7 }}")
    folder = write_run(classes=nasty, name="</title><script>alert(2)</script>", command="lensmith train '<b>'")
    change(folder / "data.json", dropped=[{"file": "<i>.jpg", "reason": "<u>bad</u>"}], notes=["<b>note</b>"])
    page = Page(report(folder))
    assert not {"script", "b onerror", "i>", "u"} & page.tags and "49" not in page.headings
    for name in (*nasty, "</title><script>alert(2)</script>", "<i>.jpg", "<u>bad</u>", "<b>note</b>", "'<b>'"):
        assert name in page.text, name


def test_names_that_are_not_utf8_are_replaced(write_run: Write) -> None:
    folder = write_run(classes=("caf\udce9", "tea"))
    change(folder / "data.json", dropped=[{"file": "na\udcefve.jpg", "reason": "is empty (0 bytes)"}])
    assert {"caf?", "na?ve.jpg"} <= {cell for row in Page(report(folder)).rows for cell in row}


def test_regression_shows_quantities_and_scatter(write_run: Write) -> None:
    folder = write_run("regression")
    page = Page(report(folder))
    assert "Truth and prediction" in page.headings and "By quantity, the worst first" in page.headings
    assert not {"Which class is taken for which", "Most confused"} & set(page.headings)
    assert re.search(r"On 400 test pictures, the predictions explain 9\d\.\d % of the spread of the truth; they are "
                     r"off by 0\.\d+ on average", page.text)
    assert "deviations off" in page.text and ["all", "3,200", "400", "400"] in page.rows


def test_a_regression_that_has_learnt_nothing_is_told_so(write_run: Write) -> None:
    folder = write_run("regression")
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["test"]["R2"] = -0.2
    (folder / "metrics.json").write_text(json.dumps(metrics))
    assert "the predictions are no better than always saying the mean of the truth" in Page(report(folder)).text


def test_tagging_shows_tags(write_run: Write) -> None:
    page = Page(report(write_run("tagging")))
    assert "By tag, the worst first" in page.headings and "Which class is taken for which" not in page.headings
    assert "F1 of" in page.text and "summed error" in page.text


def test_without_a_test_split_the_validation_speaks_and_says_that_it_flatters(write_run: Write) -> None:
    page = Page(report(write_run(without=("test",))))
    assert "of 400 validation pictures" in page.text and "so the number flatters a little" in page.text
    assert "Test: 400 pictures" not in page.headings and "By class, the worst first" in page.headings
    assert "The worst errors" not in page.headings


@pytest.mark.parametrize("missing", ["history.csv", "metrics.json", "data.json", "plan.json", "environment.json",
                                     "recipe.toml", "run.json"])
def test_a_missing_piece_leaves_its_section_out(write_run: Write, missing: str) -> None:
    section = {"history.csv": "Learning", "metrics.json": "Test: 400 pictures", "data.json": "Data",
               "plan.json": "Plan", "environment.json": "Machine", "recipe.toml": "Recipe",
               "run.json": "The command"}[missing]
    page = Page(report(write_run(without=(missing,))))
    assert section not in page.headings and "To use the network" in page.headings
    assert ("Nothing has been measured yet." in page.text) == (missing == "metrics.json")


def test_pictures_that_are_gone_or_lie_elsewhere_are_left_out(write_run: Write) -> None:
    folder = write_run()
    metrics = json.loads((folder / "metrics.json").read_text())
    shutil.copy(folder / metrics["test"]["worst"][0]["picture"], folder.parent / "outside.png")
    (folder / metrics["test"]["worst"][1]["picture"]).unlink()
    metrics["test"]["worst"][0]["picture"] = "../outside.png"
    metrics["test"]["worst"][2]["picture"] = "run.json"
    (folder / "metrics.json").write_text(json.dumps(metrics))
    page = Page(report(folder))
    outside = base64.b64encode((folder.parent / "outside.png").read_bytes()).decode()
    assert outside not in page.source
    assert sum(uri.startswith("data:image/png") for uri in page.fetched) == 21 + 1    # and the confusion matrix


@pytest.mark.parametrize(("run", "text"), [
    ({"status": "interrupted"}, "This run was interrupted after 5 epochs of 9. Go on with lensmith train --resume"),
    ({"status": "interrupted", "reason": "SIGINT after step 7 of 90; saved. Go on with: lensmith train --resume x"},
     "interrupted after 5 epochs of 9: SIGINT after step 7 of 90; saved. Go on with lensmith train --resume /"),
    ({"status": "stopped", "reason": "the loss is not finite"},
     "This run was stopped after 5 epochs of 9: the loss is not finite."),
    ({"status": "stopped", "reason": "Take larger batches."}, "5 epochs of 9: Take larger batches. "),
    ({"status": "stopped early", "reason": "3 epochs brought nothing better"},
     "This run stopped early, after 5 epochs of 9: 3 epochs brought nothing better."),
    ({"status": "running"}, "This run had not ended when the report was written, after 5 epochs of 9."),
])
def test_a_run_that_did_not_finish_says_so_first(write_run: Write, run: dict, text: str) -> None:
    page = Page(report(write_run(planned_epochs=9, **run)))
    assert text in page.text and page.text.index(text) < page.text.index("Learning")
    assert "planned epochs 9" in page.text


def test_a_run_that_ended_in_its_first_epoch_has_a_report(write_run: Write) -> None:
    folder = write_run(without=("history.csv", "metrics.json"), status="stopped", reason="the loss is not finite",
                       epochs=0, planned_epochs=9, best_epoch=None, score=None)
    page = Page(report(folder))
    assert "This run was stopped after 0 epochs of 9: the loss is not finite." in page.text
    assert "Nothing has been measured yet." in page.text and "Data" in page.headings


def test_a_finished_run_has_no_notice_and_an_old_run_does_not_count_its_own_epochs_as_planned(write_run: Write) -> None:
    folder = write_run(planned_epochs=5)
    assert 'class="notice"' not in Page(report(folder)).source
    change(folder / "run.json", status="running", planned_epochs=None)
    assert "when the report was written, after 5 epochs. If it was killed" in Page(report(folder)).text


def test_a_run_made_from_python_shows_its_call_and_python_to_go_on(write_run: Write) -> None:
    call = "lensmith.train(Bars, backbone=Net,\n               epochs=2)"
    folder = write_run(command=call, status="interrupted")
    assert f"<pre>{call}</pre>" in Page(report(folder)).source
    recipe = (folder / "recipe.toml").read_text().replace('"lenet"', '"python:Net"')
    (folder / "recipe.toml").write_text(recipe)
    text = Page(report(folder)).text
    assert f"lensmith.load('{folder}', backbone=...).predict('picture.jpg')" in text
    assert f"Go on with lensmith.resume('{folder}', backbone=...)" in text
    (folder / "recipe.toml").write_text(recipe.replace('"fashion-mnist"', '"python:list"'))
    assert f"Go on with lensmith.resume('{folder}', data=..., backbone=...)" in Page(report(folder)).text


def test_a_history_cut_off_in_its_last_line_is_read_up_to_there(write_run: Write) -> None:
    folder = write_run()
    whole = (folder / "history.csv").read_text()
    (folder / "history.csv").write_text(whole + "6,6")
    assert "6 epochs" in Page(report(folder)).text
    (folder / "history.csv").write_text(whole[: whole.index("\n") + 1])
    assert "Learning" not in Page(report(folder)).headings


def test_many_dropped_files_are_counted_and_the_first_are_named(write_run: Write) -> None:
    folder = write_run()
    change(folder / "data.json", dropped=[{"file": f"{i}.jpg", "reason": "is empty (0 bytes)"} for i in range(1234)])
    page = Page(report(folder))
    assert "1,234 files could not be used. The first 200 are listed here, all of them in data.json." in page.text
    assert ["199.jpg", "is empty (0 bytes)"] in page.rows and ["200.jpg", "is empty (0 bytes)"] not in page.rows


def test_the_commands_can_be_pasted_whatever_the_folder_is_called(write_run: Write) -> None:
    folder = write_run(status="interrupted")
    odd = folder.rename(folder.with_name("my run; rm"))
    text = Page(report(odd)).text
    assert f"lensmith predict '{odd}' picture.jpg" in text and f"lensmith train --resume '{odd}'" in text


@pytest.mark.parametrize(("name", "content", "message"), [
    ("metrics.json", '{"test": {', r"metrics.json is damaged \(line 1 is not JSON: .*\): put it back"),
    ("plan.json", "[1]", r"plan.json is damaged \(all of it must be a valid dictionary; got \[1\]\)"),
    ("recipe.toml", "[data\n", r"recipe.toml cannot be read: it is not valid TOML"),
])
def test_a_damaged_file_is_named_and_the_old_report_kept(write_run: Write, name: str, content: str,
                                                         message: str) -> None:
    folder = write_run()
    before = report(folder).read_bytes()
    (folder / name).write_text(content)
    with pytest.raises(UserError, match=message):
        report(folder)
    assert (folder / "report.html").read_bytes() == before


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is not a run folder: it has neither run.json nor recipe.toml\. Give the"):
        report(tmp_path)


def browse(page: Path, folder: Path) -> tuple[str, list[str], set[str]]:
    """The page as a browser makes it, what it wrote on its console, and what it asked of others; or a skip."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium or google-chrome on this machine")
    log = folder / f"{page.stem}-net.json"
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
             "--disable-background-networking", "--disable-component-update", f"--user-data-dir={folder / 'profile'}"]
    ran = subprocess.run([browser, *quiet, "--enable-logging=stderr", f"--log-net-log={log}", "--dump-dom",
                          page.as_uri()], capture_output=True, text=True, timeout=60, check=True)
    asked = set(re.findall(r'"url":"(https?:[^"]*)"', log.read_text()))
    # The browser's own calls home are not the page's.
    return ran.stdout, [line for line in ran.stderr.splitlines() if "CONSOLE" in line], \
        {url for url in asked if "google" not in url}


def test_a_browser_opens_the_page_without_complaint_and_asks_nobody(write_run: Write, tmp_path: Path) -> None:
    page, console, asked = browse(report(write_run()), tmp_path)
    assert "How it was made" in page and "accuracy_top1 (valid)" in page
    assert console == [] and asked == set()
    bad = tmp_path / "bad.html"    # what the test would catch
    bad.write_text("<img src='http://127.0.0.1:9/a.png'><script>console.error('no')</script>")
    _, console, asked = browse(bad, tmp_path)
    assert console and asked == {"http://127.0.0.1:9/a.png"}


def test_a_detector_has_its_curves_its_background_and_its_pairs_of_pictures(write_run: Write) -> None:
    folder = write_run("detection", classes=("ant", "bee", "cat"), pictures=60)
    test = json.loads((folder / "metrics.json").read_text())["test"]
    page = Page(report(folder))
    assert page.headings == [
        "detection-1", "Learning", "What may keep it from learning", "Small objects ", "Test: 60 pictures",
        "By class, the worst first", "Precision, recall and the score", "Which class is taken for which",
        "The worst errors", "Validation: 60 pictures", "Data", "Splits", "Boxes", "Left out",
        "How it was made", "The command", "To use the network", "Plan", "Machine", "Recipe"]
    summary = page.text[: page.text.index("Learning")]
    assert f"{test['mAP50-95']:.3f} mAP50-95 On 60 test pictures with 108 objects, the average precision is " in summary
    assert f"{test['mAP50']:.3f} where an overlap of one half is enough (mAP50)." in summary
    weakest = min(test["details"]["per_class"], key=lambda row: row["AP50-95"])
    assert f"The weakest class is {weakest['class']}, with {weakest['AP50-95']:.3f}." in summary
    assert f"from a score of {test['details']['best_threshold']:.2f} on" in summary
    rows = page.rows[page.rows.index(["class", "AP50-95", "AP50", "precision", "recall", "f1", "boxes"]) + 1:][:3]
    assert rows[0][0] == weakest["class"] and [row[6] for row in rows] == ["36"] * 3
    assert [float(row[1]) for row in rows] == sorted(float(row[1]) for row in rows)
    assert page.text.count("background") == 2    # beside the matrix and under it
    assert 'class="gallery pairs"' in page.source and "errors 2." in page.text and "the truth on the left" in page.text
    assert "108 in 60 pictures" in page.text and "without boxes 6 pictures" in page.text


def test_a_detector_of_one_class_or_without_boxes_in_its_data_file_has_a_report(write_run: Write) -> None:
    folder = write_run("detection", classes=("ant",), pictures=20)
    change(folder / "data.json", boxes={})
    page = Page(report(folder))
    assert "Boxes" not in page.headings and "The weakest class" not in page.text
    assert "Precision, recall and the score" in page.headings


def test_a_report_on_masks_shows_overlaps_class_by_class_and_masks_side_by_side(write_run: Write) -> None:
    folder = write_run("segmentation", classes=("ground", "ant", "bee", "never"), pictures=30)
    test = json.loads((folder / "metrics.json").read_text())["test"]
    page = Page(report(folder))
    overlap = f"{test['mIoU']:.3f} of their union in the mean over the classes"
    assert f"found and true areas overlap by {overlap}" in page.text
    assert f"{100 * test['pixel_accuracy']:.1f} % of the pixels are of the right class." in page.text
    rows = test["details"]["per_class"]
    weakest = min(rows, key=lambda row: row["IoU"])
    assert f"The weakest class is {weakest['class']}, with {weakest['IoU']:.3f}." in page.text
    start = page.rows.index(["class", "IoU", "dice", "precision", "recall", "boundary_f1", "pixels"])
    assert [row[0] for row in page.rows[start + 1: start + 5]] == \
        [row["class"] for row in sorted(rows, key=lambda row: row["IoU"])]
    assert "Which class is taken for which" in page.headings and "class=\"gallery pairs\"" in page.source
    assert "the picture, the truth and what was found" in page.text and "% of the pixels wrong" in page.text
