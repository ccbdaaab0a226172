"""Everything a handler may work with, built once in `api/app.py`."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from aiohttp import web
from psycopg_pool import AsyncConnectionPool

from adapters.accounts import Accounts
from adapters.collection import Collection
from adapters.event_log import EventLog
from adapters.house_key import HouseKey
from adapters.letters import Letters
from adapters.passwords import Passwords
from adapters.settings import Settings
from adapters.short_codes import ShortCodes
from adapters.stored_answers import StoredAnswers
from adapters.stripe_gateway import StripeGateway
from adapters.ticket_codes import TicketCodes
from adapters.token_keys import TokenKeys
from api.account_looks import AccountLooks
from api.addresses import Addresses
from api.answers import Answer
from api.auth import AccessTokens
from api.limits import Limits
from api.live_board import Board
from api.load import Arrivals, Load
from api.metrics import Metrics
from api.sessions import EndedSessions
from api.shared_reads import SharedReads
from api.ticket_pages import TicketSearch
from api.turns import Turns
from domain.actors import Actors
from domain.marketplace import Marketplace
from projections.activity import Activity
from projections.payout_queries import Balance
from projections.queries import Queries, TicketRow
from projections.sales import Question, Sales


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """One process's parts."""

    settings: Settings
    pool: AsyncConnectionPool
    actors: Actors
    marketplace: Marketplace
    queries: Queries
    listings: SharedReads[UUID, TicketRow]
    pages: SharedReads[TicketSearch, Answer]
    balances: SharedReads[UUID, tuple[Balance, ...]]
    sales: SharedReads[Question, Sales]
    activity: SharedReads[int, Activity]
    account_looks: AccountLooks
    log: EventLog
    gateway: StripeGateway
    webhook_secrets: tuple[str, ...]
    house_key: HouseKey
    accounts: Accounts
    verified: SharedReads[UUID, bool]
    letters: Letters
    collection: Collection
    stored_answers: StoredAnswers
    passwords: Passwords
    keys: TokenKeys
    tokens: AccessTokens
    ended_sessions: EndedSessions
    addresses: Addresses
    limits: Limits
    requests: Load
    bodies: Arrivals
    version_waits: Load
    metrics: Metrics
    turns: Turns
    live: Board
    ticket_codes: TicketCodes
    short_codes: ShortCodes


SERVICES = web.AppKey("services", Services)
