"""`python -m tests.ids [--all] [--write] [--allow-untested]`: what is shown by which test.

For quirks, faults and threats: the count that is tested, what is not handled and why, and what is untested. --all names
the tests of each id too; --write brings the tables in docs/ up to date. The status is 1 where an id is untested (unless
that is allowed), where a test bears an id that no catalogue has, or where a page is stale.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

from tests.ids import catalogue, found, pages
from tests.ids.catalogue import Catalogue


def untested(listed: Catalogue, tests: Mapping[str, object], reasons: Mapping[str, str]) -> tuple[str, ...]:
    """The ids that are neither tested nor declared as not handled."""
    return tuple(identifier for identifier in listed.ids if identifier not in tests and identifier not in reasons)


def unknown(
    catalogues: Sequence[Catalogue], tests: Mapping[str, Sequence[str]], reasons: Mapping[str, str]
) -> tuple[str, ...]:
    """What tests or reasons name although no catalogue has it: a slip of the pen, a sentence for each."""
    known = {identifier for listed in catalogues for identifier in listed.ids}
    slips = [
        f"{identifier} is in no catalogue: {names[0]}" for identifier, names in tests.items() if identifier not in known
    ]
    slips += [
        f"{identifier} is in no catalogue: {catalogue.NOT_HANDLED}" for identifier in reasons if identifier not in known
    ]
    return tuple(slips)


def stale(catalogues: Sequence[Catalogue], reasons: Mapping[str, str], *, write: bool = False) -> tuple[str, ...]:
    """The pages that do not say what the catalogues say; ``write`` mends them."""
    names = []
    for listed in catalogues:
        page = pages.page(listed)
        text = page.read_text(encoding="utf-8")
        fresh = pages.rendered(text, listed, reasons)
        if fresh != text:
            names.append(page.name)
            if write:
                page.write_text(fresh, encoding="utf-8")
    return tuple(names)


def report(
    listed: Catalogue, tests: Mapping[str, Sequence[str]], reasons: Mapping[str, str], *, every: bool
) -> list[str]:
    """One catalogue in words."""
    open_ids = untested(listed, tests, reasons)
    left_out = [identifier for identifier in listed.ids if identifier in reasons]
    tested = [identifier for identifier in listed.ids if identifier in tests and identifier not in reasons]
    lines = [f"{listed.name}: {len(tested)} tested, {len(left_out)} not handled, {len(open_ids)} untested"]
    for identifier in listed.ids if every else ():
        if identifier in tests:
            first, *others = tests[identifier]
            lines += [f"  {identifier:<5} {first}", *(f"        {name}" for name in others)]
    lines += [f"  {identifier:<5} not handled: {reasons[identifier]}" for identifier in left_out]
    rows = {row["id"]: row for row in listed.rows()}
    what = listed.columns[1][1]
    lines += [f"  {identifier:<5} UNTESTED: {rows[identifier][what]}" for identifier in open_ids]
    return lines


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.ids", description="What is shown by which test.")
    parser.add_argument("--all", action="store_true", help="name the tests of each id")
    parser.add_argument("--write", action="store_true", help="bring the tables in docs/ up to date")
    parser.add_argument("--allow-untested", action="store_true", help="do not fail where an id is untested")
    options = parser.parse_args(arguments)
    catalogues, reasons, tests = catalogue.read(), catalogue.not_handled(), found.found()
    for listed in catalogues:
        print("\n".join(report(listed, tests, reasons, every=options.all)))
    slips = unknown(catalogues, tests, reasons)
    for slip in slips:
        print(slip, file=sys.stderr)
    old = stale(catalogues, reasons, write=options.write)
    for name in old:
        print(f"docs/{name} {'was written anew' if options.write else 'is stale: python -m tests.ids --write'}")
    bare = any(untested(listed, tests, reasons) for listed in catalogues)
    return int(bool(slips) or (bool(old) and not options.write) or (bare and not options.allow_untested))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
