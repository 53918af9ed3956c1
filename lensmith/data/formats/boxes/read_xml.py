"""XML of strangers: entities and document types are refused."""

from pathlib import Path
from typing import Any

from lensmith.base.errors import DataError
from lensmith.data.sources.picture_files import readable


def read_xml(file: Path) -> Any:
    """The root element of an XML file; raises DataError."""
    try:
        from defusedxml import DefusedXmlException  # type: ignore[import-untyped]
        from defusedxml.ElementTree import ParseError, fromstring  # type: ignore[import-untyped]
    except ImportError as error:
        raise DataError(f"to read {file} takes defusedxml: pip install defusedxml") from error
    try:
        tree = fromstring(file.read_bytes(), forbid_dtd=True)
    except DefusedXmlException as error:
        raise DataError(f"{readable(file)} declares entities or a document type ({type(error).__name__}), which can "
                        "swallow memory or read other files: take the <!DOCTYPE ...> out") from error
    except ParseError as error:
        raise DataError(f"{readable(file)}, line {error.position[0]}: is not XML ({error})") from error
    except (ValueError, LookupError) as error:    # an encoding that does not exist, or that expat cannot read
        raise DataError(f"{readable(file)} is not XML that can be read ({error})") from error
    except OSError as error:
        raise DataError(f"{readable(file)} cannot be read ({error.strerror})") from error
    return tree
