from pathlib import Path

import pytest
from fake_run_folder import write_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "my run")
