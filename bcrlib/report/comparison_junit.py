"""The report on an update as JUnit XML: a test case for every check of the gate, so that CI shows those that failed."""

from xml.etree import ElementTree

from bcrlib.comparison.gate import Check
from bcrlib.comparison.verdict import Verdict
from bcrlib.report.svg import printable

SUITE = "bcr compare"


def to_junit(verdict: Verdict) -> str:
    """One suite; test cases are named by rule, level and item, and so the same from one run to the next.

    Without a gate there is one case, skipped.  Control characters, which XML does not allow, are replaced.  O(checks).
    """
    num_failed = sum(not check.passed for check in verdict.checks)
    totals = {"tests": str(max(1, len(verdict.checks))), "failures": str(num_failed), "errors": "0"}
    totals["skipped"] = str(int(not verdict.checks))
    root = ElementTree.Element("testsuites", {"name": SUITE, **totals})
    suite = ElementTree.SubElement(root, "testsuite", {"name": SUITE, **totals})
    for check in verdict.checks:
        case = ElementTree.SubElement(suite, "testcase", {"classname": f"{SUITE}.{check.rule}", "name": _name(check)})
        if not check.passed:
            told = printable(f"{_name(check)}: {check.finding}")
            ElementTree.SubElement(case, "failure", {"message": told, "type": check.rule}).text = told
    if not verdict.checks:
        case = ElementTree.SubElement(suite, "testcase", {"classname": f"{SUITE}.gate", "name": "gate"})
        ElementTree.SubElement(case, "skipped", {"message": "no gate given"})
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _name(check: Check) -> str:
    item = f" {check.item}" if check.item is not None else ""
    return printable(f"{check.rule} {check.level}{item}")
