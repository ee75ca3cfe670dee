"""A real browser: the system's own Chromium, driven through its driver."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

__all__ = ["Window", "chromium", "windows"]

_BROWSER, _DRIVER = "chromium", "chromedriver"
_PATIENCE = 15.0


def chromium(*more: str, width: int = 1280, height: int = 900) -> webdriver.Chrome:
    """A browser that is started with ``more`` switches; the test is skipped where there is none."""
    absent = [name for name in (_BROWSER, _DRIVER) if shutil.which(name) is None]
    if absent:
        pytest.skip(f"tests in a browser need {' and '.join(absent)}: apt-get install chromium chromium-driver")
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

    @property
    def driver(self) -> Any:
        """The browser, with this window in front."""
        if self._driver.current_window_handle != self._name:
            self._driver.switch_to.window(self._name)
        return self._driver

    def find(self, selector: str) -> WebElement:
        element: WebElement = self.driver.find_element(By.CSS_SELECTOR, selector)
        return element

    def text(self, selector: str) -> str:
        return self.find(selector).text

    def wait_for(self, holds: Callable[[], Any]) -> None:
        until = time.monotonic() + _PATIENCE
        while not self._held(holds):
            assert time.monotonic() < until, self.text("body")
            time.sleep(0.02)

    def _held(self, holds: Callable[[], Any]) -> bool:
        try:
            return bool(holds())
        except (NoSuchElementException, StaleElementReferenceException):
            return False

    def reload(self) -> None:
        self.driver.refresh()

    def complaints(self) -> list[str]:
        """What the browser had to say against the page, since it was last asked."""
        return [str(entry["message"]) for entry in self.driver.get_log("browser")]

    def close(self) -> None:
        self.driver.close()
        self._driver.switch_to.window(self._driver.window_handles[0])


Opened = TypeVar("Opened", bound=Window)


@contextmanager
def windows(browser: webdriver.Chrome, kind: type[Opened]) -> Iterator[tuple[Callable[[str], Opened], list[Opened]]]:
    """What opens a page, each in a window of its own, and the windows opened so far. They are closed at the end."""
    opened: list[Opened] = []

    def open_page(url: str) -> Opened:
        opened.append(kind(browser, url))
        return opened[-1]

    yield open_page, opened
    for window in opened:
        window.close()
