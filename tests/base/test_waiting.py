import os
import subprocess
import sys

import pytest

from lensmith.base.waiting import SPINS

SHOW = "import os; show = lambda: print(*(os.environ.get(name) for name in ('GOMP_SPINCOUNT', 'OMP_WAIT_POLICY')))\n"


def shown(program: str, **environment: str) -> list[str]:
    rest = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run([sys.executable, "-c", SHOW + program], env=rest | environment, capture_output=True,
                          text=True, check=True)
    return done.stdout.splitlines()


def test_threads_are_told_to_sleep_soon_until_pytorch_is_loaded():
    program = "import lensmith\nshow()\nimport lensmith.base.device\nshow()\n"
    assert shown(program) == [f"{SPINS['GOMP_SPINCOUNT']} None", "None None"]


@pytest.mark.parametrize("chosen", [{"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "active"}], ids=["spins", "policy"])
def test_what_the_user_has_decided_stays(chosen: dict[str, str]):
    program = "import lensmith\nshow()\nimport lensmith.base.device\nshow()\n"
    line = f"{chosen.get('GOMP_SPINCOUNT')} {chosen.get('OMP_WAIT_POLICY')}"
    assert shown(program, **chosen) == [line, line]


def test_where_pytorch_is_loaded_already_nothing_is_said():
    assert shown("import torch\nimport lensmith\nshow()\n") == ["None None"]
