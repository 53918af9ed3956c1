"""OpenCV, which reads and writes films, where it is installed."""

import os
from typing import Any

from lensmith.base.errors import DataError


def load_opencv() -> Any:
    """The module cv2, told to be silent. Raises DataError where it is not installed."""
    # We say ourselves in one line what cannot be read; OpenCV and FFmpeg would add lines of theirs.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        import cv2
    except ImportError as error:
        raise DataError('films and cameras are read and written by OpenCV, which is not here: pip install '
                        '"lensmith[video]"') from error
    return cv2
