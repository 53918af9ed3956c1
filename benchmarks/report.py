"""docs/performance.md from the results of every benchmark: python benchmarks/report.py [RESULTS] [PAGE]."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from results import RESULTS, rates_in_words

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
# job -> (heading, what is compared), in the page's order; any other job comes behind them under its own name.
JOBS = {
    "throughput": ("Training, six networks", "Pictures a second while training, Lensmith as `lensmith train` runs it "
                   "and its peers, in turn; their starts and peak memory beside it."),
    "throughput-avx2": ("The same without AVX-512 and AMX", "With `ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2` "
                        "in the environment of all."),
    "candidates": ("What the plan picked, and what it could have", "Every candidate trained at length."),
    "folders": ("Class folders of photos", "Loading alone: the store against torchvision's ImageFolder."),
    "fashion": ("To 0.8744 on Fashion-MNIST", "Whole processes: the recipe `fashion-fast` against the textbook's "
                "script."),
    "classic": ("The classic job", "Whole processes: LeNet with sigmoids on Fashion-MNIST, five epochs."),
    "cifar": ("CIFAR-10", "The recipe `cifar-fast`, and the same with `--plan exact`."),
    "compress": ("Half of the multiply-adds", "ResNet-18 on CIFAR-10, cut by `lensmith compress` and trained on for a "
                 "third of its epochs."),
    "detection": ("Objects from scratch", "Lensmith and Ultralytics' YOLOv8n on the same set, in the same time; both "
                  "measured by the same code."),
    "segmentation": ("Outlines of pets", "Lensmith's U-Net and that of segmentation_models_pytorch in a plain loop, "
                     "from the same ImageNet weights; both measured by the same code."),
    "segmentation-scratch": ("The same from scratch", "Without weights from elsewhere."),
    "segmentation-defaults": ("Masks by all defaults", "Lensmith's U-Net with no flag and that of "
                              "segmentation_models_pytorch in a plain loop, in the same time from the same weights."),
    "transfer": ("Breeds of pets from ImageNet weights", "Fine-tuned, as a linear probe, and by fastai's fine_tune."),
    "defaults": ("A folder by all defaults", "Test accuracy after three minutes a whole process, from the same "
                 "ImageNet weights."),
    "defaults-scratch": ("A folder from scratch", "Test accuracy after three minutes a whole process, without weights "
                         "from elsewhere."),
    "defaults-candidates": ("What the defaults were chosen by", "Accuracy on what was held out of the pictures to "
                            "train, of candidates of ours."),
    "int8": ("In INT8", "ResNet-18 on CIFAR-10 as ONNX files in float32 and INT8."),
    "distillation": ("From a larger network", "A student that learns from a teacher, and the same alone."),
    "distillation-search": ("How much of a teacher", "Weights and temperatures that the defaults were taken from."),
    "tasks": ("Four tasks on one network", "Species, breed, head and outline of pets learned at once, and each alone."),
    "inference": ("Answers by the fastest runtime", "What `--runtime auto` takes beside PyTorch, its compiler, "
                  "onnxruntime and OpenVINO called by hand, from the batch to the decoded answers, in turn."),
    "opencv": ("One picture after another", "YOLO-Fastest 1.1: from the file to the boxes, beside OpenCV's dnn."),
    "average_precision": ("Average precision", "The same boxes measured by Lensmith and by the two usual packages."),
    "check-labels": ("Suspicious labels", "Planted faults that `lensmith check` finds, beside cleanlab on the same "
                     "probabilities or boxes."),
    "kernels": ("Operators", "Operators of our own against their plain forms."),
    "check": ("The data before any training", "`lensmith check` and cleanvision on files of CIFAR-10, and "
              "near duplicates planted there."),
    "vitals": ("Looking at a network while it learns", "Processor time and peak memory of what `lensmith doctor` "
               "reads of a run."),
    "play": ("Learning to play", "`lensmith train maze` and other worlds by all defaults, and Stable-Baselines3."),
    "explain": ("What a network looked at", "Each method of `lensmith explain` beside its bare passes by the network "
                "as it is, and beside captum and pytorch-grad-cam, in CPU time."),
    "start": ("The command's start", "What `lensmith --help` takes beside Python alone."),
}


def page(found: Sequence[Mapping[str, Any]]) -> str:
    """The page, as Markdown, of the results of some jobs."""
    by_name = {one["job"]: one for one in found}
    order = [name for name in JOBS if name in by_name] + sorted(set(by_name) - set(JOBS))
    parts = ["# How fast it is", "", "Made by `make benchmark` from `benchmarks/results/`; each table stands below the "
             "command that makes it again. Ratios are of programs that ran in turn in one run; times alone depend on "
             "the hour, as these machines are shared, which is why the rate of matrix products stands beside them.", ""]
    for name in order:
        parts += [*_section(by_name[name]), ""]
    parts += ["## Not measured", ""]
    parts += [f"- {JOBS[name][0]}: `{name}` has no results yet" for name in JOBS if name not in by_name]
    if not any(one["machine"]["cuda"] for one in found):
        parts += ["- GPUs: none was at hand. CUDA and MPS take PyTorch's own paths, and no number here is of one"]
    return "\n".join(parts) + "\n"


def _section(job: Mapping[str, Any]) -> list[str]:
    heading, compared = JOBS.get(job["job"], (job["job"], ""))
    about = job["machine"]
    versions = ", ".join(f"{name} {about['packages'][name]}" for name in ("torch", "torchvision", "numpy", "pillow")
                         if name in about["packages"])
    lines = [f"## {heading}", "", *([compared, ""] if compared else []), f"`{job['command']}`, {job['date']}", ""]
    if job["rows"]:
        names = list(job["rows"][0])
        lines += [_line(names), _line(["---"] * len(names))]
        lines += [_line([_cell(row[name]) for name in names]) for row in job["rows"]] + [""]
    lines += [f"- {note.rstrip('.')}" for note in job["notes"]]
    lines += [f"- {about['processor']}, {about['cores']} cores ({about['instructions']}), {about['memory_gb']:g} GB; "
              f"Python {about['python']}, {versions}, {about['threads']} threads; {rates_in_words(about)}"]
    return lines


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: str | float | None) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value.replace("|", "\\|")
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


def main(results: Path = RESULTS, target: Path = PAGE) -> None:
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*.json"))]
    if not found:
        sys.exit(f"there are no results in {results}: run a benchmark first, for example make benchmark")
    target.write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
