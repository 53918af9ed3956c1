"""The folder order is the import order: a lower floor never imports a higher one, nor a neighbour, nor the root."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "lensmith"
# A room is a folder, or a file that lies in the root. A file imports its own room and rooms of lower floors.
FLOORS = {"base": 0, "kernels": 0, "values": 1, "data": 2, "models": 2, "tasks": 3, "engine": 4, "rl": 5, "recipe": 6,
          "study": 7, "ship": 7, "training": 8, "api": 9, "metrics": 9, "lessons": 10, "cli": 11,
          "__init__": 12, "__main__": 12}
# The same within a room, of its folders; "." are the files that lie in the room itself. Equal numbers are strangers.
INNER = {"data": {"sources": 0, "formats": 1, "store": 1, "batches": 2},
         "models": {".": 0, "adapters": 1, "darknet": 1, "backbones": 2, "heads": 2, "rewrites": 3},
         "tasks": {"losses": 0, "metrics": 0, ".": 1},
         "study": {"doctor": 0, "inspect": 0, "explain": 0, "check": 0, "report": 1, "compare": 2},
         "ship": {"answers": 0, "runtimes": 0, "export": 1, "compress": 1, "predict": 1, "serve": 2},
         "lessons": {".": 0, "convolution": 1, "numpy_network": 1, "training": 1}}


def imports(path: Path) -> list[tuple[int, str]]:
    """(line, dotted name) of everything that a file imports from the package."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "lensmith":
            found += [(node.lineno, f"lensmith.{name.name}") for name in node.names]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lensmith."):
            # `from lensmith.data import sources` names a folder of the room as well.
            found += [(node.lineno, f"{node.module}.{name.name}") for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import in line {node.lineno}"
        elif isinstance(node, ast.Import):
            found += [(node.lineno, name.name) for name in node.names if name.name.split(".")[0] == "lensmith"]
    return found


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def folder_of(room: str, steps: tuple[str, ...]) -> str:
    """Which folder of a room the steps below it lead into; "." for a file of the room itself."""
    return steps[0] if steps and (PACKAGE / room / steps[0]).is_dir() else "."


def wrong_imports(here: Path, names: list[tuple[int, str]]) -> list[str]:
    """What a file imports that it may not."""
    room, wrong = room_of(here), []
    steps = here.relative_to(PACKAGE).with_suffix("").parts[1:]
    for line, name in names:
        there = name.split(".")[1] if "." in name else "__init__"
        assert there in FLOORS, f"{here} line {line} imports {name}, which stands on no floor"
        if there != room:
            allowed = FLOORS[there] < FLOORS[room] or room in ("__init__", "__main__")
        elif room in INNER:
            order = INNER[room]
            inner, other = folder_of(room, steps), folder_of(room, tuple(name.split(".")[2:]))
            allowed = inner == other or order[other] < order[inner]
        else:
            allowed = True
        if not allowed:
            wrong.append(f"{here.relative_to(PACKAGE)} line {line} imports {name}")
    return wrong


def test_imports_go_down():
    wrong = [text for path in PACKAGE.rglob("*.py") for text in wrong_imports(path, imports(path))]
    assert not wrong, "\n".join(wrong)


def test_the_guard_sees_a_wrong_import(tmp_path: Path):
    path = tmp_path / "wrong.py"
    path.write_text("from lensmith.cli import app\nimport lensmith.api\nfrom lensmith import recipe\n"
                    "from lensmith.data.batches import loader\nfrom lensmith.data.store import keep\n")
    names = imports(path)
    assert [name for _, name in names] == ["lensmith.cli.app", "lensmith.api", "lensmith.recipe",
                                           "lensmith.data.batches.loader", "lensmith.data.store.keep"]
    # A source may import none of these, a format neither what is above it nor the store, which is its neighbour.
    assert len(wrong_imports(PACKAGE / "data" / "sources" / "split.py", names)) == 5
    assert len(wrong_imports(PACKAGE / "data" / "formats" / "idx.py", names)) == 5
    assert len(wrong_imports(PACKAGE / "data" / "batches" / "loader.py", names)) == 3
    assert len(wrong_imports(PACKAGE / "training" / "session.py", names)) == 2


def test_every_folder_of_an_ordered_room_has_its_place_in_the_order():
    for room, order in INNER.items():
        folders = {path.parent.name for path in (PACKAGE / room).glob("*/*.py")}
        assert folders <= set(order), f"{room}: {folders - set(order)} has no place in the order"


def test_tests_mirror_the_package():
    """A test of a room lies in the folder of that name; what goes through several rooms lies beside the folders,
    and in one of its own what needs a GPU."""
    tests = Path(__file__).parent
    for path in tests.rglob("test_*.py"):
        folder = path.parent.relative_to(tests)
        mirrors = (PACKAGE / folder).is_dir() or folder.parts[0] in ("scripts", "cuda")
        assert mirrors, f"{path} mirrors no folder of the package"


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
