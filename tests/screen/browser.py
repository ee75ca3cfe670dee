"""A person before the page: a real Chromium, the system's own, driven through its driver."""

from __future__ import annotations

import shutil
import time
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

__all__ = ["Window", "chromium", "missing"]

_BROWSER, _DRIVER = "chromium", "chromedriver"
_PATIENCE = 10.0


def missing() -> str:
    """What is not installed of the browser; nothing if all is there."""
    names = [name for name in (_BROWSER, _DRIVER) if shutil.which(name) is None]
    return " and ".join(names)


def chromium(*more: str, width: int = 1280, height: int = 900) -> webdriver.Chrome:
    """A browser that is started with ``more`` switches."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which(_BROWSER) or ""
    # Containers, where tests run as root, have neither room for its sandbox nor a large /dev/shm.
    for argument in (
        "headless=new",
        "no-sandbox",
        "disable-dev-shm-usage",
        "disable-gpu",
        "hide-scrollbars",
        "lang=en",
        *more,
    ):
        options.add_argument(f"--{argument}")
    # Whole pixels, so that a picture of the page is small.
    options.add_argument("--disable-lcd-text")
    options.add_argument("--disable-font-subpixel-positioning")
    options.add_argument(f"--window-size={width},{height}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which(_DRIVER)))


class Window:
    """One window of the browser, with a page open in it."""

    def __init__(self, driver: webdriver.Chrome, url: str) -> None:
        driver.switch_to.new_window("window")
        self._driver, self._name = driver, driver.current_window_handle
        driver.get(url)
        self.wait_for(lambda: self.device("stage") != "")

    @property
    def driver(self) -> Any:
        """The browser, with this window in front."""
        if self._driver.current_window_handle != self._name:
            self._driver.switch_to.window(self._name)
        return self._driver

    def find(self, selector: str) -> WebElement:
        element: WebElement = self.driver.find_element(By.CSS_SELECTOR, selector)
        return element

    def tap(self, *names: str) -> None:
        """Tap buttons: what they do, a key of the keypad, or the cable."""
        for name in names:
            chosen = f'button[data-do="{name}"]:enabled, button[data-key="{name}"]:enabled, button#{name}'
            self.find(chosen if name.isalpha() else f'button[data-key="{name}"]:enabled').click()

    def choose(self, trouble: str) -> None:
        self.find(f'input[name="trouble"][value="{trouble}"]').click()

    def text(self, selector: str) -> str:
        return self.find(selector).text

    def device(self, name: str) -> str:
        """A state of the terminal in front: its stage, link, ..."""
        return self.find("#device").get_attribute(f"data-{name}") or ""

    def wait(self, stage: str) -> None:
        self.wait_for(lambda: self.device("stage") == stage)

    def wait_for(self, holds: Any) -> None:
        until = time.monotonic() + _PATIENCE
        while not holds():
            assert time.monotonic() < until, f"stage {self.device('stage')}, link {self.device('link')}"
            time.sleep(0.02)

    def is_still(self) -> bool:
        """Whether the paper has scrolled out."""
        return bool(self.run("return document.getAnimations().every((one) => one.playState === 'finished')"))

    def reload(self) -> None:
        self.driver.refresh()
        self.wait_for(lambda: self.device("stage") != "")

    def run(self, script: str) -> Any:
        return self.driver.execute_script(script)

    def complaints(self) -> list[str]:
        """What the browser had to say against the page, since it was last asked."""
        return [str(entry["message"]) for entry in self.driver.get_log("browser")]

    def close(self) -> None:
        self.driver.close()
        self._driver.switch_to.window(self._driver.window_handles[0])
