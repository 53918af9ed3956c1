"""What random weights gave is measured once a network, and kept."""

from pathlib import Path

import torch

from lensmith.models.network import Network
from lensmith.study.explain.kept_likeness import KeptLikeness


def test_it_is_measured_once_a_network(network: Network, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("LENSMITH_CACHE", str(tmp_path))
    measured = []
    kept = KeptLikeness.of(network)
    for _ in range(2):
        assert kept.look_up("saliency", lambda: measured.append(1) or 0.25) == 0.25
        kept = KeptLikeness.of(network)
    assert kept.look_up("rise", lambda: measured.append(1) or 0.5) == 0.5 and len(measured) == 2
    with torch.no_grad():
        network.head.dense.bias += 1
    assert KeptLikeness.of(network).found == {}


def test_a_damaged_file_is_measured_again(network: Network, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("LENSMITH_CACHE", str(tmp_path))
    kept = KeptLikeness.of(network)
    kept.look_up("saliency", lambda: 0.25)
    for content in ("{", "[1]", '{"saliency": "x"}', '{"saliency": null}'):
        kept.path.write_text(content)
        assert KeptLikeness.of(network).look_up("saliency", lambda: 0.5) == 0.5
