"""``graftgan import``: two files become a source, and the screen says which."""

import importlib
from pathlib import Path

import pytest
import torch

from foreign_networks import as_saved, dcgan_discriminator, dcgan_generator

main = importlib.import_module("graftgan.cli.import").main


def test_what_was_imported_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    torch.save(as_saved(dcgan_generator(5, [8, 4, 2], 3)), tmp_path / "netG.pth")
    torch.save(as_saved(dcgan_discriminator([2, 4, 8], 3)), tmp_path / "netD.pth")
    files = [str(tmp_path / "netG.pth"), "--discriminator", str(tmp_path / "netD.pth")]
    assert main([*files, "--out", str(tmp_path / "out"), "--licence", "CC0 1.0"]) == 0
    screen = capsys.readouterr().out
    assert "dcgan, 32 px" in screen
    assert "licence: CC0 1.0" in screen
    assert "netD.pth, sha256" in screen
    assert "biases that it lacks are zero" in screen
