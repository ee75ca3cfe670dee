"""A person before the simulator's page."""

from __future__ import annotations

from typing import Any

from selenium import webdriver

from tests.browsers import Window

__all__ = ["Seat"]


class Seat(Window):
    """A window on the page of the virtual terminal, once it shows it."""

    def __init__(self, driver: webdriver.Chrome, url: str) -> None:
        super().__init__(driver, url)
        self.wait_for(self._is_live)

    def _is_live(self) -> bool:
        return self.device("stage") != ""

    def tap(self, *names: str) -> None:
        """Tap buttons: what they do, a key of the keypad, or the cable."""
        for name in names:
            chosen = f'button[data-do="{name}"]:enabled, button[data-key="{name}"]:enabled, button#{name}'
            self.find(chosen if name.isalpha() else f'button[data-key="{name}"]:enabled').click()

    def choose(self, trouble: str) -> None:
        self.find(f'input[name="trouble"][value="{trouble}"]').click()

    def device(self, name: str) -> str:
        """A state of the terminal in front: its stage, link, ..."""
        return self.find("#device").get_attribute(f"data-{name}") or ""

    def wait(self, stage: str) -> None:
        self.wait_for(lambda: self.device("stage") == stage)

    def is_still(self) -> bool:
        """Whether the paper has scrolled out."""
        return bool(self.run("return document.getAnimations().every((one) => one.playState === 'finished')"))

    def reload(self) -> None:
        super().reload()
        self.wait_for(self._is_live)

    def run(self, script: str) -> Any:
        return self.driver.execute_script(script)
