"""The documentation site: built without a warning, read and searched from a folder, without a network."""

import subprocess
import sys

import pytest
from pages import DOCS

pytestmark = pytest.mark.page


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", DOCS, folder], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder


def requests(page) -> list[str]:
    return [event["params"]["request"]["url"] for event in page.events if event["method"] == "Network.requestWillBeSent"]


def errors(page) -> list[dict]:
    return [
        event
        for event in page.events
        if event["method"] in ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
    ]


@pytest.mark.parametrize("name", ["index", "the-model", "reference-answers", "gallery/README"])
def test_pages_ask_for_nothing_outside_their_folder(site, name, chromium):
    async def use(page):
        await page.open((site / f"{name}.html").as_uri())
        return requests(page), errors(page)

    asked, faults = chromium.with_page(use)
    assert asked
    assert all(url.startswith((site.as_uri(), "data:", "blob:")) for url in asked)
    assert not faults


def test_search_finds_pages_offline(site, chromium):
    async def use(page):
        await page.open(f"{(site / 'search.html').as_uri()}?q=sceptical")
        for _ in range(100):
            if "finished" in await page.run("document.querySelector('#search-results').innerText"):
                break
            await page.run("new Promise((resolve) => setTimeout(resolve, 100))")
        found = await page.run("[...document.querySelectorAll('#search-results li a')].map((link) => link.getAttribute('href'))")
        return found, requests(page)

    found, asked = chromium.with_page(use)
    assert any("priors.html" in link for link in found)
    assert all(url.startswith((site.as_uri(), "data:")) for url in asked)


def test_formulas_are_typeset(site, chromium):
    async def use(page):
        await page.open((site / "the-model.html").as_uri())
        await page.run("MathJax.startup.promise")
        return await page.run("document.querySelectorAll('mjx-container').length")

    assert chromium.with_page(use) > 10
