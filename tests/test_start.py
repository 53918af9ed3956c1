"""What a command does not wait for: the imports that take longest and that nothing needs."""

import subprocess
import sys
from pathlib import Path

# PyTorch's compiler and what it brings take as long to import as PyTorch itself.
SLOW = ("torch._dynamo", "torch._inductor", "sympy", "torchvision", "timm", "matplotlib", "torch.utils.tensorboard")


def test_a_training_imports_no_compiler_and_no_other_package_that_it_does_not_use(tmp_path: Path):
    program = ("import sys\nfrom lensmith.cli.app import main\n"
               f"sys.argv = {['lensmith', 'train', 'shapes', '--quiet']}\n"
               f"sys.argv += {['data.count=60', 'learner.epochs=1', '--backbone', 'lenet']}\n"
               f"sys.argv += {['--optimizer', 'muon', '--runs', str(tmp_path)]}\n"
               "try:\n    main()\nexcept SystemExit as ended:\n    assert not ended.code\n"
               f"print('imported:', *[name for name in {SLOW} if name in sys.modules])\n")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "imported:"
    assert len(list(tmp_path.glob("*/report.html"))) == 1


def test_the_package_itself_imports_nothing_heavy_and_still_lists_its_names():
    program = ("import sys\nimport lensmith\n"
               "print(set(lensmith.__all__) <= set(dir(lensmith)))\n"
               "print(*[name for name in ('torch', 'numpy', 'PIL', 'pydantic', 'typer') if name in sys.modules])\n")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["True", ""]
