"""A person before a shop's page, or the agent's own."""

from __future__ import annotations

from typing import Any

from tests.browsers import Window

__all__ = ["PageWindow"]


class PageWindow(Window):
    """It forgets at its end what its page stored."""

    def shows(self, selector: str) -> bool:
        found = self.driver.find_elements("css selector", selector)
        return bool(found) and found[0].is_displayed()

    def type(self, selector: str, text: str) -> None:
        field = self.find(selector)
        field.clear()
        field.send_keys(text)

    def click(self, selector: str) -> None:
        self.find(selector).click()

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script of the page returns, once it has it."""
        return self.driver.execute_async_script(
            "const done = [...arguments].pop();"
            f"(async () => {{ {script} }})().then(done, (error) => done(`failed: ${{error}}`));",
            *arguments,
        )

    def close(self) -> None:
        self.driver.execute_script("localStorage.clear()")
        super().close()
