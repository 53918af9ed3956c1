"""The extras that the package declares, and which of their packages are here."""

import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, requires

_REQUIREMENT = re.compile(r"(?P<package>[\w.-]+)[^;]*;.*extra == ['\"](?P<extra>[\w-]+)")
_FOR_DEVELOPERS = ("docs", "test")


@dataclass(frozen=True)
class Extra:
    """One extra: `pip install "lensmith[name]"`."""

    name: str
    packages: tuple[str, ...]    # that it brings, as pip knows them
    missing: tuple[str, ...]     # of these, which are not here

    @property
    def command(self) -> str:
        """What installs it."""
        return f'pip install "lensmith[{self.name}]"'


def extras() -> list[Extra]:
    """The extras for users, in the order of their names."""
    packages: dict[str, list[str]] = {}
    for requirement in requires("lensmith") or ():
        match = _REQUIREMENT.match(requirement)
        if match and match["package"] != "lensmith" and match["extra"] not in _FOR_DEVELOPERS:    # an extra has extras
            packages.setdefault(match["extra"], []).append(match["package"])
    return [Extra(name, tuple(each), tuple(package for package in each if not _is_here(package)))
            for name, each in sorted(packages.items())]


def _is_here(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True
