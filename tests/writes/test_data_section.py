"""What the page says of lost data: drawn from sealed results of runs whose truth is known."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "truth"))
sys.path.insert(0, str(Path(__file__).parent.parent / "report"))

from build import Scene, WriteScene, block_of, build, down
from pages import Page

from chaoslib_ext.block import Rpo
from chaoslib_ext.report.page import draw
from chaoslib_ext.report.reading import read
from chaoslib_ext.rundir import seal_result
from chaoslib_ext.verdict import judge


def page(folder: Path, writes: WriteScene | None, rpo: Rpo | None = Rpo("orders", 0.0, 0)) -> Page:
    scene = Scene(serve=down((10.01, 12.0)), block=block_of(rpo=rpo), writes=writes)
    seal_result(folder, judge(build(folder, scene)))
    return Page(draw(read(folder)))


def test_lost_writes_lead_the_page(tmp_path: Path) -> None:
    lossy = WriteScene(kept=lambda t_s, _k, word: int(word == "ok" and not 9.5 <= t_s < 10.0), nodes={"store-b": None})
    found = page(tmp_path / "run", lossy)
    assert "data" in found.ids and not found.crossed
    assert "50 of 5,302 acknowledged writes were lost" in found.text
    assert "50 of 5,302 acknowledged writes are missing." in found.text
    assert "Promised, at most 0 s and 0 writes" in found.text
    assert "Age of what is left (RPO) 0.48–0.52 s" in found.text
    assert "store-a lacks 50 store-b could not be read" in found.text
    assert "RPO_MISSED" in found.text


@pytest.mark.parametrize(
    ("writes", "said"),
    [
        pytest.param(WriteScene(), "None of 5,302 acknowledged writes is missing.", id="nothing lost"),
        pytest.param(WriteScene(read_s=None), "Whether anything was lost is not known", id="not read back"),
        pytest.param(
            WriteScene(extra={"20260101-000000-truth-0001:0:<b>evil</b>": 1}),
            "there although never sent: 20260101-000000-truth-0001:0:<b>evil</b>",
            id="a phantom",
        ),
    ],
)
def test_the_section_says_what_is_known(writes: WriteScene, said: str, tmp_path: Path) -> None:
    found = page(tmp_path / "run", writes)
    assert said in found.text and not found.crossed
    assert ("Never seen" in found.text) == (writes.read_s is not None)


def test_without_a_promise_there_is_no_section(tmp_path: Path) -> None:
    assert "data" not in page(tmp_path / "run", WriteScene(), None).ids
