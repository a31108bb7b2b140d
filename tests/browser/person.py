"""What a person does with a page who has a keyboard alone, and what such a person must find on each page."""

from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped] # it has no types
from playwright.async_api import Locator, Page

VIEWS = (("light", 1440), ("dark", 390))
"""Colour schemes, and widths of windows: a desktop and a phone."""

_MAX_STOPS = 150
_HAS_FOCUS = "element => element === document.activeElement"
_FOCUS_IS_SHOWN = "element => element.matches(':focus-visible') && getComputedStyle(element).outlineStyle !== 'none'"
_VIOLATIONS = """async () => (await axe.run({ resultTypes: ["violations"] })).violations.map(
    ({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html }) => html).join(" ")}`)"""


async def look(page: Page, scheme: str, width: int) -> None:
    """Show the page in a colour scheme and a width."""
    await page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
    await page.set_viewport_size({"width": width, "height": 844})


async def reach(target: Locator, tab: str = "Tab") -> None:
    """Press Tab until an element has the focus, and shows it.

    Args:
        target: The element.
        tab: `Shift+Tab` to go back.

    Raises:
        AssertionError: The keyboard does not reach it.
    """
    page = target.page
    await target.wait_for(timeout=20_000)
    for _ in range(_MAX_STOPS):
        if await target.evaluate(_HAS_FOCUS):
            assert await target.evaluate(_FOCUS_IS_SHOWN), f"{target} does not show its focus"
            return
        await page.keyboard.press(tab)
    raise AssertionError(f"Tab does not reach {target}")


async def press(target: Locator, key: str = "Enter") -> None:
    """Go to an element with Tab, and press a key there."""
    await reach(target)
    await target.page.keyboard.press(key)


async def write(target: Locator, text: str) -> None:
    """Go to a field with Tab, and replace what it contains."""
    await press(target, "ControlOrMeta+a")
    await target.page.keyboard.type(text)


async def violations(page: Page) -> list[str]:
    """Return what axe finds, and whether the page is wider than its window."""
    if await page.evaluate("() => !window.axe"):
        await page.evaluate(Axe().axe_script)
    found: list[str] = await page.evaluate(_VIOLATIONS)
    is_wide = await page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    return [*found, *(["The page is wider than its window."] if is_wide else [])]
