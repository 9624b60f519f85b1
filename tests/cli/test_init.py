"""The starter project: made from what is in the package, never over anything, and valid."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from chaoslib_ext.cli.init_command import STARTERS, make_project
from chaoslib_ext.cli.validate_command import check_files
from chaoslib_ext.errors import UsageError


def test_a_starter_project_is_whole_and_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_project(tmp_path / "shop", "sandbox")
    assert {".gitignore", "README.md", *STARTERS["sandbox"].values()} == set(made.made)
    assert made.kept == []
    files = sorted((tmp_path / "shop").rglob("*.yaml"))
    assert [problem for one in check_files(files, False) for problem in one.problems] == []
    assert made.next_command in made.text
    assert made.next_command.startswith(f"cd {tmp_path}/shop && chaosx run experiments/")
    monkeypatch.chdir(tmp_path / "shop")
    assert Path(made.next_command.rpartition(" ")[2]).is_file()
    assert Path(made.next_command.rpartition(" ")[2]).as_posix() in Path("README.md").read_text()


@pytest.mark.slow
def test_what_the_readme_says_to_type_is_not_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_project(tmp_path / "shop", "sandbox")
    monkeypatch.setenv("CHAOSX_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("CHAOSX_SANDBOX", str(tmp_path / "rooms"))
    told = [line.split("#")[0].split() for line in (tmp_path / "shop/README.md").read_text().splitlines() if line.startswith("    chaosx run ")]
    assert len(told) == 2
    for _, _, *words in told:
        argv = [str(Path(sys.executable).parent / "chaosx"), "plan", *words]
        done = subprocess.run(argv, cwd=tmp_path / "shop", stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_file_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / "loadprofiles").mkdir()
    (tmp_path / "loadprofiles/shop.yaml").symlink_to("nowhere")
    made = make_project(tmp_path, "sandbox")
    assert sorted(made.kept) == ["README.md", "loadprofiles/shop.yaml"]
    assert (tmp_path / "README.md").read_text() == "mine"
    assert not (tmp_path / "loadprofiles/nowhere").exists()
    again = make_project(tmp_path, "sandbox")
    assert again.made == []


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match="name a"):
            make_project(place, "sandbox")


@pytest.mark.slow
def test_the_wheel_makes_the_same_project(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    argv = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "-w", str(tmp_path), str(root)]
    built = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    if built.returncode != 0 and "setuptools" in built.stderr:
        pytest.skip("no setuptools here to build a wheel with")
    assert built.returncode == 0, built.stderr
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path / "unpacked")
    code = "import chaoslib_ext; assert 'unpacked' in chaoslib_ext.__file__; from chaoslib_ext.cli import main; main(['init', 'shop'])"
    env = {"PYTHONPATH": str(tmp_path / "unpacked"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "shop/experiments/sandbox/slos/shop.yaml").read_bytes() == (root / "experiments/sandbox/slos/shop.yaml").read_bytes()
