"""Findings as JUnit XML, which continuous integration shows."""

from __future__ import annotations

import re
from itertools import groupby
from xml.etree.ElementTree import Element, SubElement, tostring

from socle.audit.finding import Findings, Status

_UNSUITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has no place for."""


def render_junit(findings: Findings) -> bytes:
    """A suite per host, a case per finding. What was not checked is skipped, with its reason."""
    counts = {"tests": len(findings.findings), "failures": findings.failed, "skipped": findings.not_checked}
    root = Element("testsuites", {"name": "socle audit", **{name: str(count) for name, count in counts.items()}})
    for host, found in groupby(findings.findings, key=lambda one: one.host):
        group = list(found)
        failed, skipped = (sum(one.status is status for one in group) for status in (Status.FAILED, Status.NOT_CHECKED))
        sizes = {"tests": str(len(group)), "failures": str(failed), "skipped": str(skipped)}
        suite = SubElement(root, "testsuite", {"name": host, "errors": "0", **sizes})
        for one in group:
            case = SubElement(suite, "testcase", {"classname": f"{host}.{one.kind}", "name": one.check})
            evidence = _UNSUITABLE.sub("\ufffd", one.evidence)
            if one.status is Status.FAILED:
                SubElement(case, "failure", {"message": evidence}).text = _UNSUITABLE.sub("\ufffd", one.remedy)
            elif one.status is Status.NOT_CHECKED:
                SubElement(case, "skipped", {"message": evidence})
            else:
                SubElement(case, "system-out").text = evidence
    text: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"
