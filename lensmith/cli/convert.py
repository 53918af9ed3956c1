"""The verb `convert`: other programs' files to a run folder or a data set and back, and a network in another form."""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from lensmith.cli.options import Json, Trust
from lensmith.cli.terminal import show, teller


def convert(
    sources: Annotated[list[str], typer.Argument(help="CFG WEIGHTS RUN: Darknet's files to a run folder. RUN CFG "
                                                      "WEIGHTS: back. DATA FOLDER: boxes of one format to another. "
                                                      "RUN NEW with --convolutional. imagenet RUN: the classifier "
                                                      "that is installed, to a run folder. FILE.py:NET WEIGHTS RUN: a "
                                                      "finished network of anybody's, whose code is run.")],
    to: Annotated[str | None, typer.Option(help="The format of FOLDER: yolo, coco, voc, csv or labelme.")] = None,
    names: Annotated[Path | None, typer.Option(help="The class names of a CFG, one a line.")] = None,
    images: Annotated[str, typer.Option(help="Pictures of FOLDER: link, copy or none.")] = "link",
    convolutional: Annotated[bool, typer.Option("--convolutional", help="A classifier in its fully convolutional form, "
                                                "for pictures of any size.")] = False,
    classes: Annotated[Path | None, typer.Option(help="Of FILE.py:NET: the class names, one a line.")] = None,
    mean: Annotated[str | None, typer.Option(help="Of FILE.py:NET: the mean of its pictures, a number a channel, as "
                                                  "0.485,0.456,0.406.")] = None,
    std: Annotated[str | None, typer.Option(help="Of FILE.py:NET: their standard deviation.")] = None,
    size: Annotated[str | None, typer.Option(help="Of FILE.py:NET: the edge of its pictures in pixels, or "
                                                  "HEIGHTxWIDTH.")] = None,
    as_json: Json = False, trust: Trust = False,
) -> None:
    """Read and write other programs' files, Darknet's networks and data sets with boxes; change a network's form."""
    from lensmith.cli.conversions import Seen, converted

    facts = converted(sources, to=to, names=names, images=images, trust=trust, convolutional=convolutional,
                      seen=Seen(classes, mean, std, size),
                      command=shlex.join(["lensmith", *sys.argv[1:]]), tell=teller(False))
    show(json.dumps(facts) if as_json else "  ".join(f"{name} {value}" for name, value in facts.items()))
