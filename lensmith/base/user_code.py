"""Code that a user brings: what `my_file.py:name` or `package.module:name` names, imported where it is trusted."""

import ast
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from lensmith.base.errors import ModelError, UserError, described, nearest


@dataclass(frozen=True)
class CodeOf:
    """What the code is to be, as an error says it."""

    what: str                              # as a recipe has it: "backbone"
    example: str                           # "The name of a network of yours is FILE.py:CLASS"
    error: type[UserError] = ModelError    # that is raised


NETWORK = CodeOf("backbone", "The name of a network of yours is FILE.py:CLASS")


def find_attribute(name: str, *, trusted: bool, code: CodeOf = NETWORK) -> tuple[ModuleType, Any]:
    """The module that `my_net.py:Net` or `package.module:Net` names, imported, and what it calls Net.

    Raises the error of `code` where it is not trusted, cannot be imported, or has no such name.
    """
    path, _, attribute = name.rpartition(":")
    if not trusted:
        raise code.error(f"{code.what} {name!r} would run the code of {path}: read it, and if you trust it, say "
                         "trust=True")
    module = _import_file(Path(path), code) if path.endswith(".py") else _import_module(path, code)
    known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
    if attribute not in vars(module):
        raise code.error(f"{path} has no {attribute!r}.{nearest(attribute, known)} "
                         f"It has: {', '.join(known) or 'no class or function'}.")
    return module, vars(module)[attribute]


def names_in_file(file: str) -> str:
    """What to say of a file that is named without what is meant in it: which classes and functions it defines. It is
    read and not run."""
    path = Path(file)
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError) as error:
        return f"{file} cannot be read as Python: {described(error)}. {NETWORK.example}"
    defined = [node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)
               and not node.name.startswith("_")]
    if not defined:
        return (f"{file} defines no network: no class of torch.nn.Module and no function that gives one. "
                f"{NETWORK.example}")
    return (f"{file} is a file: say which network of it is meant, as {file}:{defined[-1]}. It defines "
            f"{', '.join(defined)}")


def _import_file(path: Path, code: CodeOf) -> ModuleType:
    if not path.is_file():
        near = nearest(path.name, (file.name for file in path.parent.glob("*.py"))) if path.parent.is_dir() else ""
        raise code.error(f"no file {path}.{near} {code.example}")
    specification = importlib.util.spec_from_file_location(f"lensmith_outside_{path.stem}", path)
    assert specification is not None and specification.loader is not None    # the suffix is .py
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module    # dataclasses and pickles look their module up there
    try:
        with _importable(path.resolve().parent), _explained(str(path), code):
            specification.loader.exec_module(module)
    except code.error:
        del sys.modules[specification.name]
        raise
    return module


def _import_module(name: str, code: CodeOf) -> ModuleType:
    with _importable(Path.cwd()), _explained(name, code):
        return importlib.import_module(name)


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let a file import its neighbours, as it can when it is run."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


@contextmanager
def _explained(source: str, code: CodeOf) -> Iterator[None]:
    try:
        yield
    except Exception as error:    # whatever a stranger's file may raise
        raise code.error(f"{source} could not be imported: {described(error)}") from error
