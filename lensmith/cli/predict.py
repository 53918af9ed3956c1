"""The verb `predict`: what a trained network says of pictures, films and cameras."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lensmith.base.errors import UserError, count
from lensmith.cli.options import Device, FormOf, Json, Runtime, Trust
from lensmith.cli.terminal import show, tell_error, teller

if TYPE_CHECKING:
    from lensmith.ship.predict.prediction import Prediction
    from lensmith.ship.predict.video import Frame

_NAMED = 10    # files that are passed over and named


def predict(
    run: Annotated[str, typer.Argument(help="A run folder, an ONNX file, or imagenet: a network that knows 1,000 "
                                            "classes and comes with the installation. Left out with --cfg.")],
    sources: Annotated[list[str] | None, typer.Argument(help="Files, folders, patterns such as 'photos/*.jpg', films, "
                                                             "or camera:0.")] = None,
    top: Annotated[int, typer.Option(help="How many classes or objects to print.", min=1)] = 3,
    out: Annotated[Path | None, typer.Option(help="A folder for the pictures and films with what was found, "
                                                  "predictions.json, predictions.csv and frames.jsonl.")] = None,
    every: Annotated[int, typer.Option(help="Films: look at each so many-th frame only.", min=1)] = 1,
    threshold: Annotated[float | None, typer.Option(help="Objects: the least score that is shown, by itself "
                                                         "0.25.")] = None,
    iou: Annotated[float | None, typer.Option(help="Objects: of two that overlap more the surer one is shown.")] = None,
    classes: Annotated[str | None, typer.Option(help="Objects: the classes to show, with commas between.")] = None,
    tiles: Annotated[float | None, typer.Option(metavar="SCALE", help="Objects and masks of large pictures by tiles "
                                                "that overlap: 1 at their own pixels, 0.5 made half as large.")] = None,
    cfg: Annotated[Path | None, typer.Option(help="A Darknet cfg in the place of RUN; with --weights.")] = None,
    weights: Annotated[Path | None, typer.Option(help="The Darknet weights of --cfg.")] = None,
    names: Annotated[Path | None, typer.Option(help="The class names of --cfg, one a line.")] = None,
    runtime: Runtime = None, form: FormOf = None, device: Device = None, as_json: Json = False, trust: Trust = False,
) -> None:
    """Say what pictures show, and films: a line a second, with --json one a frame."""
    from lensmith.base.output_folder import check_output
    from lensmith.ship.answers.answer import ELSEWHERE
    from lensmith.ship.predict.video import pictures_and_films
    from lensmith.ship.predict.write_files import write_predictions
    from lensmith.training.from_file import opened
    from lensmith.training.trained import darknet

    if (cfg is None) != (weights is None):
        raise UserError("--cfg and --weights go together: give both files of the network")
    if cfg is not None and weights is not None:
        if form is not None:
            raise UserError("--form is for an ONNX file, and --cfg names a network of Darknet: leave it out")
        trained, sources = darknet(cfg, weights, names), [run, *(sources or [])]
    else:
        trained = opened(run, runtime=runtime, device=device, form=form, trust=trust, overlap=iou, tell=teller(False))
    if out is not None:
        check_output(out, advice=ELSEWHERE)    # before the work, not after it
    if not sources:
        raise UserError("nothing to predict: name files, folders or patterns such as 'photos/*.jpg'")
    passed_over: list[Path] = []
    pictures, films = pictures_and_films(sources, passed_over)
    _refuse_for_kind(films, every=every, tiles=tiles)
    shown = None if classes is None else [name.strip() for name in classes.split(",")]
    predictions = trained.predict(pictures, threshold=threshold, overlap=iou, classes=shown, tiles=tiles)
    if out is not None and pictures:
        write_predictions(predictions, out, top=top, category_ids=trained.category_ids,
                          image_ids=trained.image_ids)
    unread = _show_pictures(predictions, top=top, as_json=as_json)
    if films:
        unread += _show_frames(trained.watch(films, out=out, every=every, top=top, threshold=threshold, overlap=iou,
                                             classes=shown), top=top, as_json=as_json)
    for prediction in unread:
        tell_error(f"{prediction.file} {prediction.error}")
    _tell_passed_over(passed_over)
    if unread:
        if len(pictures) > 1:
            tell_error(f"{len(unread):,} of {count(len(pictures) + len(films), 'file')} could not be read")
        raise typer.Exit(3)


def _tell_passed_over(files: list[Path]) -> None:
    """Say which files in the named folders are no pictures by their suffix, where there are any."""
    if files:
        suffixes = Counter(path.suffix.lower() or "no suffix" for path in files)
        more = f" and {len(files) - _NAMED:,} more" if len(files) > _NAMED else ""
        tell_error(f"passed over {count(len(files), 'file')} without a picture's suffix "
                   f"({', '.join(f'{suffix} {number:,}' for suffix, number in suffixes.most_common())}): "
                   f"{', '.join(map(str, files[:_NAMED]))}{more}")


def _refuse_for_kind(films: list[str], *, every: int, tiles: float | None) -> None:
    """Raise UserError where an option for films is given without any, or one for pictures with films."""
    if every > 1 and not films:
        raise UserError(f"--every={every} is for films and cameras, and none is named")
    if tiles is not None and films:
        raise UserError(f"--tiles={tiles:g} is for pictures, and {films[0]} is a film: leave one of the two out")


def _show_pictures(predictions: list["Prediction"], *, top: int, as_json: bool) -> list["Prediction"]:
    """Print what was predicted of pictures; -> those that could not be read."""
    if as_json and predictions:
        show(json.dumps([prediction.as_json(top) for prediction in predictions]))
    elif not as_json:
        for prediction in predictions:
            if prediction.error is None:
                show(f"{prediction.file}: {prediction.text(top)}")
    return [prediction for prediction in predictions if prediction.error is not None]


def _show_frames(frames: Iterable["Frame"], *, top: int, as_json: bool) -> list["Prediction"]:
    """Print what is said of films as their frames come, a line a second or with JSON one a frame; -> the failures."""
    failures = []
    for frame in frames:
        if frame.said.error is not None:
            failures.append(frame.said)
        elif as_json or frame.begins:
            show(json.dumps(frame.as_json(top)) if as_json else frame.text(top), at_once=True)
    return failures
