"""Notebook 08 as a reader opens it: in JupyterLab, all cells run from the menu, a slider moved by the keyboard.

The server listens on this machine only, at a free port and with a token; its home and its settings are the test's own,
and so is its copy of the notebook.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab.lessons.figures.widgets import PICTURE, SIZE

ROOT = Path(__file__).parents[2]
NOTEBOOK = "08_capacity_planning.ipynb"
START_SECONDS = 90
RUN_MS = 180_000
MOVE_MS = 30_000

BENIGN = {
    r"^net::ERR_ABORTED: ": "the page itself gave a request up, as JupyterLab does with a poll that it starts anew",
    r"ERR_FILE_NOT_FOUND: blob:": "the picture's widget has replaced a picture that the browser was about to load",
}
"""Complaints that tell of no fault, by pattern, each with the reason."""

FAILED = '[data-mime-type="application/vnd.jupyter.stderr"], [data-mime-type="application/vnd.jupyter.error"]'
"""What a cell that failed, or that warned of something, shows."""

SETTINGS: dict[str, dict[str, object]] = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},    # nothing from outside
    "notebook-extension/tracker": {"windowingMode": "none"},        # cells out of sight stay in the page
}


@dataclass(frozen=True)
class Server:
    """A JupyterLab that is up."""

    address: str
    token: str

    def page_of(self, notebook: str) -> str:
        return f"{self.address}/lab/tree/notebooks/{notebook}?token={self.token}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    for module in ("jupyterlab", "ipywidgets"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed: pip install 'thinpool-lab[notebook]'")
    folder = tmp_path_factory.mktemp("jupyter")
    work, port, token = _working_folder(folder / "work"), _free_port(), secrets.token_hex(16)
    found, log = Server(f"http://127.0.0.1:{port}", token), folder / "server.log"
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
               f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={work}"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=work, env=_environment(folder, token), stdout=output,
                                   stderr=subprocess.STDOUT)
        try:
            _wait_for(found, process, log)
            yield found
        finally:
            process.terminate()             # which ends its kernels as well
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _working_folder(work: Path) -> Path:
    """A copy of the notebook beside what it reads: JupyterLab saves what it has run."""
    (work / "notebooks").mkdir(parents=True)
    shutil.copy(ROOT / "notebooks" / NOTEBOOK, work / "notebooks")
    for name in ("results", "scenarios"):
        (work / name).symlink_to(ROOT / name, target_is_directory=True)
    return work


def _environment(folder: Path, token: str) -> dict[str, str]:
    """Everything that Jupyter and Matplotlib keep is kept in the folder; the lab is that of this tree."""
    places = {"HOME": "home", "JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data",
              "JUPYTER_RUNTIME_DIR": "runtime", "IPYTHONDIR": "ipython", "MPLCONFIGDIR": "matplotlib"}
    for name in places.values():
        (folder / name).mkdir()
    for name, told in SETTINGS.items():
        file = folder / "config" / "lab" / "user-settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(told))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "IPYTHON", "XDG_"))}
    return {**kept, **{name: str(folder / place) for name, place in places.items()}, "JUPYTER_TOKEN": token,
            "PYTHONPATH": str(ROOT)}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    straight = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with straight.open(f"{server.address}/api/status?token={server.token}", timeout=5):
                return
        except OSError:
            time.sleep(0.3)
    how = "was not up in time" if process.poll() is None else f"ended with status {process.returncode}"
    pytest.fail(f"JupyterLab {how}: {log.read_text(errors='replace')[-2000:]}")


def run_all_cells(page: Any) -> None:
    """Runs the notebook from the menu, and waits until every cell has its number, or one has failed."""
    page.locator("#jp-main-statusbar >> text=Idle").first.wait_for(timeout=RUN_MS)
    page.locator('.lm-MenuBar-itemLabel:text-is("Run")').click()
    page.locator('.lm-Menu-item[data-command="runmenu:run-all"]').click()
    page.wait_for_function("""failed => {
        const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')];
        const ran = prompts.length > 0 && prompts.every(one => /\\[\\d+\\]/.test(one.textContent));
        return ran || document.querySelector(failed);
    }""", arg=FAILED, timeout=RUN_MS)


def test_a_slider_that_is_moved_by_the_keyboard_changes_the_figure(watched: Any, server: Server) -> None:
    page = watched.page
    page.goto(server.page_of(NOTEBOOK), wait_until="domcontentloaded")
    run_all_cells(page)
    assert page.locator(FAILED).all_inner_texts() == []

    picture, handle = page.locator(f"img.{PICTURE}"), page.locator(f".{SIZE} .noUi-handle")
    picture.scroll_into_view_if_needed(timeout=MOVE_MS)
    page.wait_for_function("name => document.querySelector(`img.${name}`).naturalWidth > 100", arg=PICTURE,
                           timeout=MOVE_MS)
    before, told = picture.get_attribute("src"), handle.get_attribute("aria-valuenow")
    handle.focus()
    page.keyboard.press("PageUp")
    page.wait_for_function("([name, before]) => document.querySelector(`img.${name}`).src !== before",
                           arg=[PICTURE, before], timeout=MOVE_MS)
    assert handle.get_attribute("aria-valuenow") != told
    page.wait_for_function("name => document.querySelector(`img.${name}`).naturalWidth > 100", arg=PICTURE,
                           timeout=MOVE_MS)

    unexpected = [one for one in watched.complaints if not any(re.search(pattern, one) for pattern in BENIGN)]
    assert unexpected == []
