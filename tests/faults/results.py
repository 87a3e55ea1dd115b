# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the runs measured, kept below HEP_SONIC_HOME; ``python -m tests.faults.results`` puts it into docs/faults.md."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, Final

from tests.faults.stream import Request, Summary
from tests.tools.common import HOME, ROOT

FILE: Final = HOME / "faults" / "results.jsonl"
DOCUMENT: Final = ROOT / "docs" / "faults.md"
BEGIN, END = "<!-- begin: measured -->\n", "<!-- end: measured -->\n"


@dataclass(frozen=True)
class Result:
    """One run of one fault.

    Args:
        fault: Key of the fault.
        title: What it is.
        variant: Under what circumstances.
        stream: Which requests.
        summary: What became of them.
        time: When, in seconds since the epoch.
        commit: Of which state of the repository.
    """

    fault: str
    title: str
    variant: str
    stream: str
    summary: Mapping[str, Any]
    time: float
    commit: str = ""

    @property
    def row(self) -> tuple[str, str, str]:
        """What the runs of one row of the table have in common."""
        return self.fault, self.variant, self.stream


def record(fault: str, title: str, variant: str, stream: str, summary: Summary) -> None:
    """Keep a result."""
    FILE.parent.mkdir(parents=True, exist_ok=True)
    command = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    result = Result(fault, title, variant, stream, summary.to_json(), time.time(), commit)
    with FILE.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(result)) + "\n")


def tell(fault: str, title: str, variant: str, seen: Mapping[str, Sequence[Request]]) -> dict[str, Summary]:
    """Show and keep what became of each stream, and return it."""
    summaries = {name: Summary.of(requests) for name, requests in seen.items()}
    for name, summary in summaries.items():
        print(f"({fault}) {title}, {variant}, {name}: {summary}")
        record(fault, title, variant, name, summary)
    return summaries


def table(results: Iterable[Result]) -> str:
    """Return a Markdown table with a line for each fault, variant and stream: the worst of the newest state's runs."""
    lines = [
        "| fault | circumstances | requests | runs | failed / sent | p50 | p99 | longest | longest silence | at |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    ordered = sorted(results, key=lambda result: result.row)
    for _row, runs in groupby(ordered, key=lambda result: result.row):
        of_row = list(runs)
        newest = max(of_row, key=lambda result: result.time).commit
        lines.append(_line([run for run in of_row if run.commit == newest]))
    return "\n".join(lines) + "\n"


def _line(runs: Sequence[Result]) -> str:
    first = runs[0]

    def total(figure: str) -> int:
        return sum(run.summary[figure] for run in runs)

    def worst(figure: str) -> str:
        return f"{max(run.summary[figure] for run in runs):.0f} ms"

    cells = [
        f"({first.fault}) {first.title}",
        first.variant,
        first.stream,
        len(runs),
        f"{total('failed')} / {total('sent')}",
        *(worst(figure) for figure in ("p50", "p99", "maximum", "silence")),
        first.commit,
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> None:
    """Put the table of all kept results into the document."""
    results = [Result(**json.loads(line)) for line in FILE.read_text(encoding="utf-8").splitlines()]
    before, rest = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)
    _old, after = rest.split(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{table(results)}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
