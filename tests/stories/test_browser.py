"""The whole story by hand, in a real browser: a command, an approval by a second person, completion."""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from lab.rig import rig

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PICTURE = Path(__file__).parent.parent.parent / "build" / "screenshots" / "demo.png"
PATIENCE = 120_000  # milliseconds
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)

pytestmark = [
    pytest.mark.story,
    pytest.mark.timeout(420),
    pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: install it, with: sudo apt-get install chromium"),
]


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield opened
        opened.close()


def send(page, text):
    page.get_by_test_id("composer").fill(text)
    page.get_by_test_id("send").click()


def test_an_upgrade_is_asked_for_approved_and_watched_in_the_page(browser):
    """Ada asks, Grace approves, and the page shows every machine at the target without a reload."""
    with rig("healthy", speed=40) as made:
        page = browser.new_page(viewport={"width": 1440, "height": 960})
        page.goto(f"{made.slack.page_url}?as=U0ADA&channel=C0OPS")
        send(page, "/k8s versions")
        expect(page.get_by_text("v1.34.7").first).to_be_visible(timeout=PATIENCE)
        send(page, "/k8s plan v1.35.4")
        expect(page.get_by_test_id("action-plan_approve")).to_be_visible(timeout=PATIENCE)
        page.get_by_test_id("person").select_option("U0GRACE")
        page.get_by_test_id("action-plan_approve").click()
        page.get_by_test_id("confirm-yes").click()
        run = page.locator("[data-testid=message]").filter(has=page.get_by_test_id("action-run_pause")).last
        expect(run).to_be_visible(timeout=PATIENCE)
        run.get_by_test_id("open-thread").click(timeout=PATIENCE)
        made.slack.wait_for(lambda _: busy_with_workers(made), timeout=PATIENCE / 1000)
        expect(page.get_by_test_id("machine-w1").or_(page.get_by_test_id("machine-w2")).first).to_be_visible()
        expect(page.get_by_text("cordoned").first).to_be_visible(timeout=PATIENCE)
        page.get_by_test_id("messages").evaluate("pane => { pane.scrollTop = pane.scrollHeight }")
        PICTURE.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PICTURE)
        done = page.get_by_test_id("messages").get_by_text("completed").last
        expect(done).to_be_visible(timeout=PATIENCE)
        for machine in made.world.snapshot().values():
            assert machine["kubelet"] == "v1.35.4"
        page.close()


def busy_with_workers(made):
    """The middle of the story: a control plane that is done, and a worker that is away."""
    machines = made.world.snapshot()
    return any(m["cordoned"] and name.startswith("w") for name, m in machines.items())
