"""The currencies a charge can be made in (docs.stripe.com/currencies, presentment currencies)."""

from __future__ import annotations

from decimal import Decimal

_CODES = """
aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp byn bzd cad cdf chf
clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd hkd hnl htg huf idr
ils inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mur
mvr mwk mxn myr mzn nad ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr
sek sgd shp sle sos srd std szl thb tjs tnd top try ttd twd tzs uah ugx usd uyu uzs vnd vuv wst xaf xcd xof
xpf yer zar zmw
"""

SUPPORTED = frozenset(_CODES.split())
"""ISO 4217 codes in lower case, as Stripe writes them."""

_NO_DECIMALS = "bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf"
_THREE_DECIMALS = "bhd jod kwd omr tnd"
_SYMBOLS = {"eur": "€", "gbp": "£", "usd": "$"}


def money_text(amount: int, currency: str) -> str:
    """An amount in minor units as error messages have it: `$25.00`."""
    digits = 0 if currency in _NO_DECIMALS else 3 if currency in _THREE_DECIMALS else 2
    return f"{_SYMBOLS.get(currency, f'{currency.upper()} ')}{Decimal(amount).scaleb(-digits):,.{digits}f}"
