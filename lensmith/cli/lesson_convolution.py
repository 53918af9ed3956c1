"""The verb `lesson convolution`: what a convolution computes, number by number."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from lensmith.base.errors import UserError
from lensmith.cli.lesson import LessonOut, give_lesson
from lensmith.cli.options import Device, Json, Quiet, Trust
from lensmith.cli.terminal import teller

_LEAST, _MOST = 16, 160    # pixels: the longer edge of a picture whose pixels can be told apart on the page


def lesson_convolution(
    picture: Annotated[Path | None, typer.Argument(help="A picture of yours; by itself a small drawn one.")] = None,
    kernel: Annotated[list[str] | None, typer.Option(help="A name, as sobel, blur or sharpen, or the values, as "
                                                          "\"1 0 -1; 2 0 -2; 1 0 -1\"; may be given several times.")]
        = None,
    padding: Annotated[str, typer.Option(help="Zeros on each side, or same, or valid.")] = "0",
    stride: Annotated[int, typer.Option(help="Pixels from one window to the next.")] = 1,
    dilation: Annotated[int, typer.Option(help="Pixels from one value of the kernel to the next.")] = 1,
    channels: Annotated[int, typer.Option(help="3 for red, green and blue, 1 for gray.")] = 1,
    filters: Annotated[int | None, typer.Option(help="How many kernels; more than are given are taken from those with "
                                                     "a name.")] = None,
    size: Annotated[int, typer.Option(help="The longer edge to which a larger picture is brought, in pixels.")] = 64,
    run: Annotated[str | None, typer.Option(help="A run folder of yours, or imagenet: the kernels and maps of its "
                                                 "first convolution.")] = None,
    train: Annotated[bool, typer.Option("--train/--no-train", help="Train LeNet and a dense network beside it, which "
                                                                   "takes seconds.")] = True,
    out: LessonOut = None, device: Device = None, quiet: Quiet = False, as_json: Json = False, trust: Trust = False,
) -> None:
    """What a convolution computes: a picture as numbers, window by window products and sums, channels and filters."""
    from lensmith.lessons.convolution.layer import check_fits, read_layer
    from lensmith.lessons.convolution.lesson import convolution_lesson
    from lensmith.lessons.convolution.network_to_beat import compare_networks
    from lensmith.lessons.convolution.own_network import first_convolution
    from lensmith.lessons.convolution.picture import read_lesson_picture
    from lensmith.lessons.convolution.taught import about
    from lensmith.lessons.convolution.two_halves import two_halves
    from lensmith.lessons.lesson import lesson_folder
    from lensmith.training.trained import load

    if not _LEAST <= size <= _MOST:
        raise UserError(f"--size {size}: accepted are numbers from {_LEAST} to {_MOST} pixels")
    layer = read_layer(kernel or ["sobel"], padding=padding, stride=stride, dilation=dilation, channels=channels,
                       filters=filters)
    folder = lesson_folder("convolution", out)
    shown = read_lesson_picture(picture, size)
    check_fits(layer, shown.size, shown.name)
    own = None if run is None else first_convolution(load(run, device=device, trust=trust), picture)
    trained = compare_networks(device=device, tell=teller(quiet)) if train else None
    taught = about(shown, layer, halves=two_halves(), trained=trained, own=own,
                   command=["lensmith", *sys.argv[1:]])
    give_lesson(convolution_lesson(taught), folder, as_json=as_json)
