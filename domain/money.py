"""Money: whole minor units of one currency. There are no fractions and no floats anywhere."""

from __future__ import annotations

from dataclasses import dataclass

MAX_AMOUNT = 99_999_999
"""The largest amount one charge may have, in minor units: Stripe's limit of eight digits."""

CURRENCIES = frozenset(
    """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY
    COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS
    INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP
    MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR
    SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV
    WST XAF XCD XOF XPF YER ZAR ZMW ZWG
    """.split()  # noqa: SIM905 - a table of codes reads better than a list of quoted strings
)
"""ISO 4217 codes of currencies that people pay with; funds, metals and test codes are left out."""


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units (cents, yen) of an ISO 4217 currency, upper case."""

    amount: int
    currency: str

    def __add__(self, other: Money) -> Money:
        assert self.currency == other.currency, "amounts of two currencies have no sum"
        return Money(self.amount + other.amount, self.currency)

    def __mul__(self, quantity: int) -> Money:
        return Money(self.amount * quantity, self.currency)
