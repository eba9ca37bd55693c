"""French for people: dates, ages, sizes, counts. Pure, and independent of the machine's locale."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_DAYS = ("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche")
_MONTHS = (
    "janvier",
    "février",
    "mars",
    "avril",
    "mai",
    "juin",
    "juillet",
    "août",
    "septembre",
    "octobre",
    "novembre",
    "décembre",
)
_UNITS = ("octets", "Kio", "Mio", "Gio", "Tio")
_STEP = 1024
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_HOURS_TOLD = timedelta(hours=48)
_DAYS_TOLD = timedelta(days=60)
_DAYS_OF_MONTH = 30
_AHEAD = timedelta(minutes=5)
"""Clocks differ by a little: no more than this is said to be in the future."""
NARROW = "\u202f"
"""Narrow no-break space: between a number and its unit, before ; ? !"""
WIDE = "\u00a0"
"""No-break space."""
_REVERSING = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""Marks that would show a text in another order than it has."""


def clean(text: object) -> str:
    """Text that any page can hold: what is no character of a text (half of a pair, bytes that were not UTF-8,
    control characters, marks that turn the order round) is shown as �."""
    shown = _REVERSING.sub("\ufffd", str(text))
    return "".join(one if one in "\n\t" or unicodedata.category(one) not in ("Cc", "Cs") else "\ufffd" for one in shown)


def fine(text: str) -> str:
    """No line begins with : ; ? ! or », nor ends with «: their spaces do not break."""
    return re.sub(" ([:;?!»])", rf"{WIDE}\1", text).replace("« ", f"«{WIDE}")


def make_zone(name: str) -> tuple[tzinfo, str]:
    """The time zone of that name and how people call it. UTC when this machine does not know it."""
    try:
        zone = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC, "temps universel"
    city = name.rpartition("/")[2].replace("_", " ")
    return zone, "temps universel" if city in ("UTC", "GMT") else f"heure de {city}"


def render_date(time: datetime, zone: str) -> str:
    """« vendredi 27 novembre 2026 à 1 h 45 (heure de Paris, UTC+1) »."""
    where, called = make_zone(zone)
    local = time.astimezone(where)
    return f"{_DAYS[local.weekday()]} {_render_day(local)} à {_render_hour(local)} ({called}, {_render_offset(local)})"


def render_short(time: datetime, zone: str) -> str:
    """« 27 novembre 2026, 1 h 45 », where the zone is said elsewhere."""
    local = time.astimezone(make_zone(zone)[0])
    return f"{_render_day(local)}, {_render_hour(local)}"


def _render_day(local: datetime) -> str:
    day = "1er" if local.day == 1 else str(local.day)
    return f"{day}{WIDE}{_MONTHS[local.month - 1]}{WIDE}{local.year}"


def _render_hour(local: datetime) -> str:
    return f"{local.hour}{WIDE}h{WIDE}{local.minute:02d}"


def _render_offset(local: datetime) -> str:
    minutes = int((local.utcoffset() or timedelta()).total_seconds()) // 60
    if not minutes:
        return "UTC"
    sign = "+" if minutes > 0 else "\u2212"
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{sign}{hours}" + (f"{WIDE}h{WIDE}{rest:02d}" if rest else "")


def render_age(time: datetime, now: datetime) -> str:
    """« il y a 9 jours ». A time to come is said to be so: then a clock is wrong."""
    age = now - time
    if age < -_AHEAD:
        return "dans le futur"
    if age < _HOUR:
        return "il y a moins d’une heure"
    if age < _HOURS_TOLD:
        return f"il y a {render_count(int(age / _HOUR), 'heure')}"
    if age < _DAYS_TOLD:
        return f"il y a {render_count(age // _DAY, 'jour')}"
    return f"il y a {age // _DAY // _DAYS_OF_MONTH}{WIDE}mois"


def render_count(number: int, noun: str, plural: str = "") -> str:
    """« 1 jour », « 3 jours ». French has the singular for 0 too."""
    return f"{render_number(number)}{WIDE}{noun if abs(number) <= 1 else plural or f'{noun}s'}"


def render_number(number: int) -> str:
    """« 12 345 »."""
    return f"{number:,}".replace(",", NARROW)


def render_bytes(number: int) -> str:
    """« 1,5 Gio »: the units in which quotas are asked for."""
    size, unit = float(number), 0
    while abs(size) >= _STEP and unit < len(_UNITS) - 1:
        size, unit = size / _STEP, unit + 1
    if not unit:
        return render_count(number, "octet")
    return f"{size:.1f}".removesuffix(".0").replace(".", ",") + f"{WIDE}{_UNITS[unit]}"
