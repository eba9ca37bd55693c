"""The request of an association: associations/<identifier>.yml. Only what is public is in it.

Names of the fields follow the public forms (API Entreprise, Cerfa 12156); people's names and addresses
are not here: see docs/adr about personal data.
"""

from __future__ import annotations

import re
from datetime import date
from enum import StrEnum
from functools import cache
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo, create_model, field_validator, model_validator
from stdnum.fr import siren

from socle.model.base import Model
from socle.model.service import Service, SiteOptions

# https://github.com/betagouv/api-subventions-asso: wider than the W + 9 digits of the open-data schema,
# which refuses numbers that the State itself gave.
_RNA = re.compile(r"W\d[A-Z\d]\d{7}")
_INSEE = re.compile(r"(?:\d{2}|2[AB])\d{3}")


class Regime(StrEnum):
    """Law under which the association exists."""

    LOI_1901 = "loi_1901"
    ALSACE_MOSELLE = "alsace_moselle"
    OTHER = "other"


def _check_rna(value: str) -> str:
    if not _RNA.fullmatch(value):
        raise ValueError("expected an RNA number: W and 9 characters, such as W381234567")
    return value


def _check_siren(value: str) -> str:
    if not siren.is_valid(value):
        raise ValueError("expected a SIREN: 9 digits with a valid check digit")
    return siren.compact(value)


def _check_insee(value: str) -> str:
    if not _INSEE.fullmatch(value):
        raise ValueError("expected the INSEE code of a town, such as 38421")
    return value


Insee = Annotated[str, AfterValidator(_check_insee)]


class Convention(Model):
    """What elected officials validated. Days are calendar days."""

    decision_reference: str = Field(
        min_length=1, title="Référence de la décision", description="Number of the deliberation.", examples=["2026-114"]
    )
    agreement_date: date = Field(
        title="Date de la convention", description="Day of signature.", examples=["2026-09-15"]
    )
    duration_months: int = Field(
        default=12, ge=1, le=60, title="Durée", description="Length of the convention, in months.", examples=[12]
    )
    notice_days: int = Field(
        default=30, ge=30, title="Préavis de fin", description="Notice before the end.", examples=[30]
    )
    export_days: int = Field(
        default=30, ge=1, title="Délai d'export", description="Days to fetch one's data after the end.", examples=[30]
    )
    erasure_days: int = Field(
        default=60, ge=1, title="Délai d'effacement", description="Days until all is erased.", examples=[60]
    )

    @model_validator(mode="after")
    def _erasure_after_export(self) -> Convention:
        if self.erasure_days < self.export_days:
            raise ValueError("expected erasure_days not before export_days: data must stay while it can be fetched")
        return self


class RequestBase(Model):
    """Everything of a request but its services, which depend on the catalogue."""

    name: str = Field(
        min_length=1,
        max_length=250,
        title="Nom de l'association",
        description="As registered, byte for byte.",
        examples=["Les Amis du Lac"],
    )
    town: Insee = Field(
        title="Commune membre du syndicat",
        description="INSEE code of the member town.",
        examples=["38421"],
    )
    purpose: str = Field(
        min_length=1, max_length=1000, title="Objet", description="What it is for.", examples=["Protéger le lac"]
    )
    legal_regime: Regime = Field(
        default=Regime.LOI_1901, title="Régime", description="Law it lives under.", examples=["loi_1901"]
    )
    rna_number: Annotated[str, AfterValidator(_check_rna)] | None = Field(
        default=None,
        validate_default=True,
        title="Numéro RNA",
        description="Needed for loi_1901, absent for alsace_moselle.",
        examples=["W381234567"],
    )
    siren: Annotated[str, AfterValidator(_check_siren)] | None = Field(
        default=None, title="SIREN", description="If it has one.", examples=["732829320"]
    )
    convention: Convention = Field(title="Convention", description="What elected officials validated.")

    @field_validator("rna_number")
    @classmethod
    def _rna_follows_regime(cls, value: str | None, info: ValidationInfo) -> str | None:
        """On the field, not on the whole: what else is wrong must not hide it."""
        regime = info.data.get("legal_regime")
        if regime is Regime.LOI_1901 and not value:
            raise ValueError("expected rna_number, since legal_regime is loi_1901")
        if regime is Regime.ALSACE_MOSELLE and value:
            raise ValueError("expected no rna_number, since legal_regime is alsace_moselle")
        return value


class Request(RequestBase):
    """A request with its services, by name. `services` is a model made from the catalogue."""

    services: Any

    def wanted(self) -> dict[str, SiteOptions]:
        """The options of each service asked for, by the service's name."""
        return {
            name: options
            for name in type(self.services).model_fields
            if (options := getattr(self.services, name)) is not None
        }


@cache
def make_request_model(catalogue: tuple[Service, ...]) -> type[Request]:
    """The model of a request for this catalogue: a new service folder is a new key, with its own options."""
    fields: dict[str, Any] = {
        service.name: (
            service.options | None,
            Field(default=None, title=service.title, description=service.purpose),
        )
        for service in catalogue
        if service.kind == "site"
    }
    services = create_model("Services", __base__=Model, **fields)
    return create_model(
        "AssociationRequest",
        __base__=Request,
        __doc__="The request of an association.",
        services=(services, Field(title="Services demandés", description="One entry per service.")),
    )
