"""The ids by which the files that a run learned from name their pictures and the classes of their masks."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lensmith.base.errors import DataError
from lensmith.data.formats.boxes.coco import CocoFile, read_coco_file


def coco_image_ids(source: Mapping[str, Any]) -> dict[str, int | str]:
    """The ids of the pictures in COCO files, by their real paths; none where `source`, of data.json, is of another
    format, or the files are gone."""
    ids: dict[str, int | str] = {}
    if source.get("layout") == "coco":
        for split, file in (source.get("files") or {}).items():
            folder = (source.get("picture_folders") or {}).get(split)
            if folder is None:
                continue
            with suppress(DataError):
                for picture in read_coco_file(Path(file), CocoFile).images:
                    ids[os.path.realpath(os.path.join(folder, picture.file_name))] = picture.id
    return ids


def mask_ids(source: Mapping[str, Any]) -> dict[str, str]:
    """What the ids in masks are called, as data.ids, by `source` of data.json; empty where there were none."""
    named, void = source.get("ids"), source.get("void")
    if not isinstance(named, dict):
        return {}
    return {str(id_): name for name, ids in (*named.items(), ("void", void)) if isinstance(ids, list) for id_ in ids}
