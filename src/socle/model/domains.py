"""One spelling for each domain (case B2): the A-label by IDNA 2008 after UTS 46 mapping, without final dot."""

from __future__ import annotations

from typing import Annotated

import idna
from pydantic import AfterValidator


def parse_domain(text: str) -> str:
    """The canonical form of a domain: lower case, composed, `xn--` labels, no final dot.

    Raises ValueError with what was expected. Source: RFC 5891 and Unicode UTS 46, by the idna library;
    Python's own codec is IDNA 2003 and turns ß into ss, so it is used nowhere.
    """
    try:
        name = idna.encode(text.strip().removesuffix("."), uts46=True, std3_rules=True).decode()
    except idna.IDNAError as error:
        raise ValueError(f"expected a domain name such as amis-du-lac.example: {error}") from None
    if "." not in name:
        raise ValueError("expected a full domain name with at least one dot, such as amis-du-lac.example")
    return name


def render_domain(name: str) -> str:
    """The form people read: `xn--` labels shown in Unicode."""
    return idna.decode(name)


Domain = Annotated[str, AfterValidator(parse_domain)]
