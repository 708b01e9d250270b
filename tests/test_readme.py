"""The README's code runs as printed, and its links lead somewhere."""

import re

import pytest
from pages import FENCE, PAGES, ROOT


def test_the_ten_lines_make_the_figure(tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) == 10
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "frequency.png").stat().st_size > 10_000
    (printed,) = re.findall(r"```text\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize("page", PAGES.values(), ids=lambda page: page.name)
def test_links_to_files_exist(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", FENCE.sub("", page.read_text(encoding="utf-8"))):
        assert (page.parent / target).exists(), target
