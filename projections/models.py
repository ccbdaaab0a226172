"""Every read model there is."""

from __future__ import annotations

from projections.buyer_orders import BUYER_ORDERS
from projections.projection import Projection
from projections.ticket_listing import TICKET_LISTING
from projections.user_status import USER_STATUS

MODELS: dict[str, Projection] = {
    projection.model: projection for projection in (TICKET_LISTING, BUYER_ORDERS, USER_STATUS)
}
"""By name."""
