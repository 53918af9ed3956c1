"""Near duplicates planted across the splits of CIFAR-10, and what is found beside them."""

import os
import tarfile
from pathlib import Path

import pytest

from lensmith.study.check.duplicates import duplicates

TAR = Path(os.environ.get("LENSMITH_DATA", "")) / "cifar10-jpeg.tar"


@pytest.mark.slow
@pytest.mark.skipif(not TAR.exists(), reason="cifar10-jpeg.tar is not in LENSMITH_DATA")
def test_copies_planted_in_cifar_are_found_and_hardly_anything_else(tmp_path: Path, known, module):
    """Barz and Denzler 2020 (arXiv 1902.00423) found 3.3 % of the test pictures near a training picture."""
    benchmark, folder = module("check"), tmp_path / "cifar10"
    with tarfile.open(TAR) as archive:
        archive.extractall(folder, filter="data")
    planted = benchmark.plant(folder, 100, seed=1)
    leak = next(finding for finding in duplicates(known(folder, "split.valid=0")) if finding.kind == "leak")
    found = {group.pictures[1].path for group in leak.groups}
    of_one_change = {copy for copy, change in planted.items() if change != benchmark.ALL_CHANGES}
    assert len(found & of_one_change) >= 95
    assert 300 <= len(found - set(planted)) <= 600
