"""One window of a real browser, with a page open in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

__all__ = ["Window"]

_PATIENCE = 15.0


class Window:
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

    def shows(self, selector: str) -> bool:
        found = self.driver.find_elements(By.CSS_SELECTOR, selector)
        return bool(found) and found[0].is_displayed()

    def text(self, selector: str) -> str:
        return self.find(selector).text

    def type(self, selector: str, text: str) -> None:
        field = self.find(selector)
        field.clear()
        field.send_keys(text)

    def click(self, selector: str) -> None:
        self.find(selector).click()

    def wait_for(self, holds: Callable[[], Any]) -> None:
        until = time.monotonic() + _PATIENCE
        while not self._held(holds):
            assert time.monotonic() < until, self.text("body")
            time.sleep(0.03)

    def _held(self, holds: Callable[[], Any]) -> bool:
        from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException

        try:
            return bool(holds())
        except (NoSuchElementException, StaleElementReferenceException):
            return False

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script of the page returns, once it has it."""
        return self.driver.execute_async_script(
            "const done = [...arguments].pop();"
            f"(async () => {{ {script} }})().then(done, (error) => done(`failed: ${{error}}`));",
            *arguments,
        )

    def reload(self) -> None:
        self.driver.refresh()

    def complaints(self) -> list[str]:
        """What the browser had to say against the page, since it was last asked."""
        return [str(entry["message"]) for entry in self.driver.get_log("browser")]

    def close(self) -> None:
        self.driver.execute_script("localStorage.clear()")
        self.driver.close()
        self._driver.switch_to.window(self._driver.window_handles[0])
