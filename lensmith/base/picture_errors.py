"""Why a file cannot be used as a picture, in words."""

from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from lensmith.base.errors import DataError


class BadPicture(DataError):
    """A file that cannot be used as a picture. The message is the reason alone, without the file's name."""


@contextmanager
def explained() -> Iterator[None]:
    """Within it every error in reading a picture becomes a BadPicture with a reason."""
    try:
        yield
    except BadPicture:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadPicture("declares too many pixels; pictures.most_pixels says how many are accepted") from error
    except FileNotFoundError as error:
        raise BadPicture("does not exist") from error
    except PermissionError as error:
        raise BadPicture("may not be read (permission denied)") from error
    except MemoryError as error:
        raise BadPicture("does not fit into memory") from error
    # Pillow's decoders raise OSError, SyntaxError, struct.error, EOFError, ValueError ...
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:    # of the system, not of Pillow
            raise BadPicture(f"cannot be read ({error.strerror})") from error
        truncated = "truncated" in str(error).lower() or isinstance(error, EOFError)
        reason = "is truncated" if truncated else "cannot be decoded"
        raise BadPicture(f"{reason} ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else '-'})") \
            from error
