"""What keeps the code readable and can be counted: the length of functions, their parameters, and names that mean one
thing."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "lensmith"
LINES, PARAMETERS = 50, 8
# Their parameters are settings of a recipe, options of a verb, or what a caller of `lensmith.train` may say.
SETTINGS = {"api.py train", "cli/train.py train", "cli/predict.py predict", "cli/doctor.py doctor",
            "cli/check.py check_data", "cli/convert.py convert", "cli/conversions.py converted",
            "cli/compress.py compress", "cli/measure.py val", "cli/measure.py compare",
            "cli/inspect.py inspect",
            "cli/explain.py explain", "cli/benchmark.py benchmark", "cli/export.py export",
            "cli/lesson_convolution.py lesson_convolution",
            "data/formats/tables/table.py open_table", "data/sources/split.py divide",
            "models/backbones/stack_layers.py conv", "rl/worlds/maze.py maze",
            "tasks/detection.py Detection.__init__",
            "tasks/instances.py Instances.__init__", "tasks/segmentation.py Segmentation.__init__",
            "tasks/yolo.py Yolo.__init__"}
# Each file of these folders is an entry of one table, and has the functions of its record under the same names.
ENTRIES = ("data/sources/kinds/", "tasks/metrics/by_picture/", "ship/answers/", "study/report/errors/")
# One name for one thing in two places.
SAME = {"train": "the verb, and what it is from Python"}


def functions(path: Path) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Every function of a file with its name, that of its class before it."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{inner.name}", inner) for inner in node.body
                        if isinstance(inner, ast.FunctionDef))


def files() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), path


def lines(name: str, function: ast.FunctionDef) -> int:
    """The lines of a function; of one whose parameters are settings, a line each, those of its body."""
    return (function.end_lineno or 0) - (function.body[0].lineno if name in SETTINGS else function.lineno) + 1


def parameters(function: ast.FunctionDef) -> int:
    arguments = function.args
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


def test_no_function_is_longer_than_a_screen():
    long = {f"{file} {name}": lines(f"{file} {name}", function) for file, path in files()
            for name, function in functions(path)}
    assert not {name: number for name, number in long.items() if number > LINES}


def test_no_function_has_more_parameters_than_one_remembers():
    numbers = {f"{file} {name}": parameters(function) for file, path in files() for name, function in functions(path)}
    many = {name for name, number in numbers.items() if number > PARAMETERS}
    assert many == SETTINGS, f"too many: {many - SETTINGS}; exceptions that are not needed: {SETTINGS - many}"


def test_a_public_name_means_one_thing():
    defined: dict[str, list[str]] = defaultdict(list)
    for file, path in files():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                defined[node.name].append(next((folder for folder in ENTRIES if file.startswith(folder)), file))
    twice = {name: places for name, places in defined.items() if len(set(places)) > 1}
    assert set(twice) == set(SAME), {name: places for name, places in twice.items() if name not in SAME}
