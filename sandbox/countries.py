"""The countries a connected account can be in (stripe.com/global), and the currency of each."""

from __future__ import annotations

_EURO = "AT BE BG CY DE EE ES FI FR GR HR IE IT LT LU LV MT NL PT SI SK"

CURRENCIES: dict[str, str] = {
    **dict.fromkeys(_EURO.split(), "eur"),
    "AE": "aed",
    "AU": "aud",
    "BR": "brl",
    "CA": "cad",
    "CH": "chf",
    "CZ": "czk",
    "DK": "dkk",
    "GB": "gbp",
    "GI": "gbp",
    "HK": "hkd",
    "HU": "huf",
    "JP": "jpy",
    "LI": "chf",
    "MX": "mxn",
    "MY": "myr",
    "NO": "nok",
    "NZ": "nzd",
    "PL": "pln",
    "RO": "ron",
    "SE": "sek",
    "SG": "sgd",
    "TH": "thb",
    "US": "usd",
}
"""By ISO 3166-1 code."""
