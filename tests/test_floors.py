"""The folder order is the import order: a lower floor never imports a higher one, nor a neighbour, nor the root."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "lensmith"
# A room is a folder, or a file that lies in the root. A file imports its own room and rooms of lower floors.
FLOORS = {"base": 0, "kernels": 0, "values": 1, "data": 2, "models": 2, "tasks": 3, "engine": 4, "rl": 5, "recipe": 6,
          "study": 7, "lessons": 7, "ship": 7, "training": 8, "api": 9, "cli": 10, "__init__": 11, "__main__": 11}


def imports(path: Path) -> list[tuple[int, str]]:
    """(line, dotted name) of everything that a file imports from the package."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "lensmith":
            found += [(node.lineno, f"lensmith.{name.name}") for name in node.names]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lensmith."):
            found.append((node.lineno, node.module or ""))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import in line {node.lineno}"
        elif isinstance(node, ast.Import):
            found += [(node.lineno, name.name) for name in node.names if name.name.split(".")[0] == "lensmith"]
    return found


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_imports_go_down():
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        here = room_of(path)
        for line, name in imports(path):
            parts = name.split(".")
            there = parts[1] if len(parts) > 1 else "__init__"
            assert there in FLOORS, f"{path} line {line} imports {name}, which stands on no floor"
            if there != here and FLOORS[there] >= FLOORS[here] and here not in ("__init__", "__main__"):
                wrong.append(f"{path.relative_to(PACKAGE)} line {line} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_the_guard_sees_a_wrong_import(tmp_path: Path):
    path = tmp_path / "wrong.py"
    path.write_text("from lensmith.cli import app\nimport lensmith.api\nfrom lensmith import recipe\n")
    assert imports(path) == [(1, "lensmith.cli"), (2, "lensmith.api"), (3, "lensmith.recipe")]


def test_every_file_fits_one_sitting_and_says_what_lives_there():
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 380, f"{path} has grown past what one sitting reads"
        if text.strip():
            assert ast.get_docstring(ast.parse(text)), f"{path} has no docstring"


def test_only_the_command_line_prints():
    for path in PACKAGE.rglob("*.py"):
        if room_of(path) == "cli":
            continue
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        assert not [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"], path
