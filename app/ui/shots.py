"""Pictures of every page in both themes and two sizes, for documents and for eyes that review."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from app.ui.live import View
from app.ui.main_window import MainWindow
from app.ui.theme import Mode, ThemeManager

SIZES: Final = ((1440, 900), (1024, 700))
THEMES: Final[tuple[Mode, ...]] = ("dark", "light")


async def take_shots(
    window: MainWindow, theme: ThemeManager, directory: Path, sizes: Sequence[tuple[int, int]] = SIZES
) -> list[Path]:
    """Render each page once it shows what it read, of the broker that is chosen and of all where there are several.

    The files are called ``{page}-{theme}-{width}x{height}.png``, those of all brokers ``all-{page}-…``.

    Raises:
        OSError: a picture can't be written.
    """
    await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
    mode = theme.mode
    window.show()
    taken = []
    for name in window.pages:
        taken += await _take(window, theme, directory / name, name, sizes)
    if len(window.scope.brokers) > 1:
        window.scope.choose_all()
        for name in window.across:
            taken += await _take(window, theme, directory / f"all-{name}", name, sizes)
        window.scope.choose(0)
    theme.set_mode(mode)
    return taken


async def _take(
    window: MainWindow, theme: ThemeManager, stem: Path, name: str, sizes: Sequence[tuple[int, int]]
) -> list[Path]:
    taken = []
    for width, height in sizes:
        window.resize(width, height)
        window.show_page(name)
        page = window.page
        await _loaded(page)
        prepare = getattr(page, "prepare_shot", None)
        if prepare is not None:
            await prepare()
        for wanted in THEMES:
            theme.set_mode(wanted)
            path = stem.with_name(f"{stem.name}-{wanted}-{width}x{height}.png")
            if not window.grab().save(str(path)):
                raise OSError(f"The picture {path} can't be written.")
            taken.append(path)
    return taken


async def _loaded(page: View) -> None:
    """Until the page has read once more, or said why it can't."""
    if not page.connections:
        return
    done = asyncio.get_running_loop().create_future()

    def finish(trouble: str = "told") -> None:
        if trouble and not done.done():
            done.set_result(None)

    page.loaded.connect(finish)
    page.trouble.connect(finish)
    try:
        page.reload()
        await done
        await page.settled()
    finally:
        page.loaded.disconnect(finish)
        page.trouble.disconnect(finish)
