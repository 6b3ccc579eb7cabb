"""Look for barriers on pages with axe-core, in a real browser, at two widths and in both colour schemes.

    npm pack axe-core && tar xzf axe-core-*.tgz
    uv run python tools/accessibility.py --axe package/axe.min.js runs/NAME/report.html ...

Prints each rule that is broken with its impact and where; exit code 1 where one is serious or critical.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from browser import Browser, find_browser

QUESTION = """axe.run(document, {resultTypes: ['violations']}).then(found => JSON.stringify(found.violations.map(
    v => [v.id, v.impact, v.help, v.nodes.length, v.nodes[0].target.join(' ')])))"""
UNFOLD = "document.querySelectorAll('details').forEach(d => { d.open = true; });"
SERIOUS = ("serious", "critical")


def main() -> int:
    """Look at every page four times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--axe", type=Path, required=True, help="axe.min.js of the npm package axe-core")
    parser.add_argument("pages", type=Path, nargs="+")
    options = parser.parse_args()
    path = find_browser()
    if path is None:
        parser.error("there is no Chromium; name one with MDX_BROWSER")
    script, bad = f"{UNFOLD}\n{options.axe.read_text(encoding='utf-8')}", 0
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(path, Path(profile))
        try:
            for page in options.pages:
                found: dict[tuple[str, ...], list[str]] = {}
                for width in (1200, 480):
                    for scheme in ("light", "dark"):
                        broken = json.loads(browser.ask(page, QUESTION, width=width, scheme=scheme, script=script))
                        for rule, impact, text, count, where in broken:
                            line = (rule, impact, text, f"{count} place(s), first {where}")
                            found.setdefault(line, []).append(f"{width} {scheme}")
                for line, views in found.items():
                    print(f"{page}: {': '.join(line)} ({', '.join(views)})")
                serious = sum(line[1] in SERIOUS for line in found)
                print(f"{page}: {len(found)} rule(s) broken, {serious} of them serious")
                bad += serious
        finally:
            browser.close()
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
