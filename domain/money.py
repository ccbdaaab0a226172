"""Money: whole minor units of one currency. There are no fractions and no floats anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

MAX_AMOUNT = 99_999_999
"""The largest amount one charge may have, in minor units: Stripe's limit of eight digits."""

_BY_PLACES = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF",
    2: """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC CUP CVE
    CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR
    KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB
    PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY
    TTD TWD TZS UAH USD UYU UZS VES WST XCD XCG YER ZAR ZMW ZWG
    """,
    3: "BHD IQD JOD KWD LYD OMR TND",
}

MINOR_UNITS: Mapping[str, int] = MappingProxyType(
    {code: places for places, codes in _BY_PLACES.items() for code in codes.split()}
)
"""ISO 4217: code → decimal places of the minor unit. Funds, metals, test codes and what nobody pays with any more are
left out."""

CURRENCIES = frozenset(MINOR_UNITS)


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units (cents, yen) of an ISO 4217 currency, upper case."""

    amount: int
    currency: str

    def __str__(self) -> str:
        """For people: `45.00 EUR`."""
        unit = "" if self.currency in MINOR_UNITS else " (minor units)"
        return f"{decimal(self.amount, self.currency)} {self.currency}{unit}"


def decimal(amount: int, currency: str) -> str:
    """Minor units as people write them, with the decimal places of the currency: `1,250.00`, `500`, `4.500`.

    Of a code that is not known here (any more) they stay minor units.
    """
    places = MINOR_UNITS.get(currency, 0)
    whole, rest = divmod(abs(amount), 10**places)
    sign = "-" if amount < 0 else ""
    return f"{sign}{whole:,}.{rest:0{places}}" if places else f"{sign}{whole:,}"
