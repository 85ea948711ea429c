"""The gate as JUnit XML: a suite a cell, a testcase a quantity; a regression fails, what is open is skipped.

Format: the elements and attributes that GitHub's and GitLab's readers share
(testsuites, testsuite, testcase, failure, skipped, properties).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from lab.answers.gate.gate import Gate
from lab.answers.gate.rows import Notice, Row, Status
from lab.answers.gate.shown import title, worse_by
from lab.text import amount

_WHOLE = "whole gate"
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has no way to write (its section 2.2)."""


def junit(gate: Gate) -> str:
    """The document.  Where nothing failed and something is open, at least one testcase is skipped."""
    root = ElementTree.Element("testsuites", name="lab gate")
    cells: dict[str, list[Row]] = {}
    for row in gate.rows:
        cells.setdefault(row.quantity.cell, []).append(row)
    _suite_of_notices(root, gate)
    for cell, rows in cells.items():
        suite = _suite(root, cell, len(rows), sum(row.status is Status.REGRESSION for row in rows),
                       sum(row.status is Status.INCONCLUSIVE for row in rows))
        for row in rows:
            case = _case(suite, cell, f"{row.quantity.phase} {row.quantity.metric}")
            text = (f"{row.reason}; baseline {amount(row.baseline, row.quantity.unit)}, candidate "
                    f"{amount(row.candidate, row.quantity.unit)}, worse by {worse_by(row)}")
            if row.status is Status.REGRESSION:
                ElementTree.SubElement(case, "failure", message=_text(row.reason), type="regression").text = _text(text)
            elif row.status is Status.INCONCLUSIVE:
                ElementTree.SubElement(case, "skipped", message=_text(f"inconclusive: {row.reason}"))
    for name in ("tests", "failures", "errors", "skipped"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite_of_notices(root: ElementTree.Element, gate: Gate) -> None:
    """A testcase that stands for the comparison as a whole, and one for each notice that keeps it open."""
    barred: Sequence[Notice] = [notice for notice in gate.notices if notice.inconclusive]
    suite = _suite(root, _WHOLE, len(barred) + 1, 0, len(barred) + (not gate.rows))
    properties = ElementTree.Element("properties")
    for name, value in (("verdict", str(gate.verdict)), ("method", gate.method), ("seed", str(gate.seed)),
                        *gate.environment.items()):
        ElementTree.SubElement(properties, "property", name=_text(name), value=_text(value))
    suite.append(properties)
    case = _case(suite, _WHOLE, "something was compared")
    if not gate.rows:
        ElementTree.SubElement(case, "skipped", message=_text(f"inconclusive: {title(gate)}"))
    for notice in barred:
        case = _case(suite, _WHOLE, notice.name)
        ElementTree.SubElement(case, "skipped", message=_text(f"inconclusive: {notice.text}"))


def _suite(root: ElementTree.Element, name: str, tests: int, failures: int, skipped: int) -> ElementTree.Element:
    return ElementTree.SubElement(root, "testsuite", name=_text(name), tests=str(tests), failures=str(failures),
                                  errors="0", skipped=str(skipped), time="0")


def _case(suite: ElementTree.Element, group: str, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", classname=_text(group), name=_text(name), time="0")


def _text(text: str) -> str:
    return _NOT_XML.sub("�", text)
