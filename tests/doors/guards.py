"""Every guard at the doors: where it stands, what is there without it, and the test that must notice.

A line is `guard(name, (file, code, what stands there instead), …, tests=(…))`. The code must stand in its file exactly
once. Where two guards stand behind one another a line takes both away: either alone is enough.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Guard:
    """One guard; `edits` are file, code, replacement; of the `tests` (node ids of pytest) one must fail."""

    name: str
    edits: tuple[tuple[str, str, str], ...]
    tests: tuple[str, ...]


def guard(name: str, *edits: tuple[str, str, str], tests: tuple[str, ...]) -> Guard:
    return Guard(name, edits, tests)


CHECK_IN = "tests/api/test_api_check_in.py"
REFUNDS = "tests/api/test_api_refunds.py"
ACCESS = "tests/api/test_api_access.py"
MATRIX = "tests/doors/test_access_matrix.py"
ACCOUNTS = "tests/api/test_api_accounts.py"
TOKENS = "tests/api/test_api_tokens.py"
TRICKS = "tests/doors/test_tokens.py"
PROBLEMS = "tests/api/test_api_problems.py"
LIMITS = "tests/api/test_api_limits.py"
WEBHOOKS = "tests/api/test_api_webhooks.py"
HEADERS = "tests/doors/test_headers.py"
SECRETS = "tests/doors/test_secrets.py"
EMBEDDED = "tests/doors/test_embedded.py"
REQUIREMENTS = "tests/doors/test_requirements.py"
SESSIONS = "tests/web/test_web_sessions.py"

_NAIVE_KEY = """
def _naive_key(token: str, key: Ed25519PublicKey) -> Any:
    return key.public_bytes_raw() if jwt.get_unverified_header(token)["alg"] == "HS256" else key


def bearer_token("""
"""What code does that lets the token choose its algorithm and has one kind of key for all of them."""

GUARDS: tuple[Guard, ...] = (
    # Who may do what
    guard(
        "a route is decided",
        ("tests/doors/matrix.py", '    ("GET", "/healthz"): "yyyyy",\n', ""),
        tests=(f"{ACCESS}::test_every_route_is_decided_and_nothing_else",),
    ),
    guard(
        "a decision stays",
        ("api/routes.py", "tickets.edit, Access.OWNER", "tickets.edit, Access.SIGNED_IN"),
        tests=(f"{ACCESS}::test_the_matrix_is_what_the_route_table_says",),
    ),
    guard(
        "a token is needed",
        ("api/endpoint.py", 'raise unauthenticated("this needs an access token")', "return"),
        (
            "api/calls.py",
            'raise unauthenticated("sign in first")',
            "return Principal(UUID(int=0), UUID(int=0), False, 0.0)",
        ),
        tests=(f"{ACCESS}::test_every_route_with_everybody[anonymous]",),
    ),
    guard(
        "a listing is its seller's",
        ("domain/ticket.py", "if by != self.seller_id:", "if False:"),
        tests=(f"{ACCESS}::test_every_route_with_everybody[other]",),
    ),
    guard(
        "a listing's history is its seller's",
        ("api/history.py", "if ticket.seller_id != call.user.user_id and not call.user.is_admin:", "if False:"),
        tests=(f"{ACCESS}::test_every_route_with_everybody[other]",),
    ),
    guard(
        "an order is its buyer's to read",
        ("api/reads.py", "(found.buyer_id != reader.user_id and not reader.is_admin)", "False"),
        tests=(f"{ACCESS}::test_every_route_with_everybody[seller]",),
    ),
    guard(
        "an order is its buyer's to pay and cancel",
        ("domain/marketplace.py", "if order.buyer_id != buyer_id:", "if False:"),
        tests=(f"{ACCESS}::test_every_route_with_everybody[other]",),
    ),
    guard(
        "others' orders say what missing ones say",
        (
            "domain/marketplace.py",
            'if order.buyer_id != buyer_id:\n        raise OrderNotFound(f"there is no order {order.id}")',
            'if order.buyer_id != buyer_id:\n        raise OrderNotFound("it is somebody else\'s")',
        ),
        tests=(f"{MATRIX}::test_what_others_have_is_answered_like_what_nobody_has",),
    ),
    guard(
        "and take as long",
        (
            "api/reads.py",
            "return _shown_to(reader, await services.queries.order(order_id))",
            "return await services.queries.order(order_id)",
        ),
        (
            "api/reads.py",
            "found = await _newest(services.version_waits, row, aggregate, query.min_version)",
            "found = _shown_to(reader, await _newest(services.version_waits, row, aggregate, query.min_version))",
        ),
        tests=(f"{MATRIX}::test_and_takes_as_long",),
    ),
    guard(
        "an order is refunded by those it concerns",
        ("domain/marketplace.py", '    if admin:\n        return "house"', '    if True:\n        return "house"'),
        tests=(f"{ACCESS}::test_every_route_with_everybody[other]",),
    ),
    guard(
        "a seller refunds what is theirs",
        ("domain/marketplace.py", 'if reason == "seller" and any(', "if False and any("),
        tests=(f"{REFUNDS}::test_a_seller_refunds_only_what_is_theirs",),
    ),
    guard(
        "the seller's own door",
        ("domain/marketplace.py", "item.seller_id != by and not admin", "False"),
        tests=(f"{CHECK_IN}::test_only_the_seller_and_the_house_let_in",),
    ),
    guard(
        "another seller's ticket of the same order",
        (
            "domain/marketplace.py",
            "(item.seller_id != by and not admin)",
            "not (admin or any(i.seller_id == by for i in order.items))",
        ),
        tests=(f"{CHECK_IN}::test_one_seller_does_not_let_in_with_anothers_ticket",),
    ),
    guard(
        "what this door is for",
        ("domain/marketplace.py", "if only is not None and ticket_id not in only", "if False"),
        tests=(f"{CHECK_IN}::test_a_door_is_for_its_listings",),
    ),
    guard(
        "one ticket, one person",
        ("domain/check_in.py", "if earlier is not None", "if False"),
        ("domain/check_in.py", "if number not in unused(order, item)", "if False"),
        tests=(f"{CHECK_IN}::test_a_code_lets_one_in_and_then_says_when_and_where",),
    ),
    guard(
        "a refunded ticket at the door",
        ("domain/check_in.py", "if number not in unused(order, item)", "if False"),
        tests=(f"{CHECK_IN}::test_what_was_refunded_lets_nobody_in",),
    ),
    guard(
        "what proves a typed code",
        ("adapters/short_codes.py", "if not hmac.compare_digest(mark, self._mark(known))", "if False"),
        tests=(f"{CHECK_IN}::test_codes_that_are_none",),
    ),
    guard(
        "the terms of refund",
        (
            "domain/marketplace.py",
            'if reason == "buyer":\n                order_refunds',
            "if False:\n                order_refunds",
        ),
        tests=(f"{REFUNDS}::test_the_terms_bind_the_buyer_and_not_the_seller",),
    ),
    guard(
        "a seller sees their own part of an order",
        ("api/refunds.py", "if whole else", "if True else"),
        tests=(f"{REFUNDS}::test_a_seller_sees_their_part_and_nothing_else",),
    ),
    guard(
        "disputes are for who answers them",
        ("api/disputes.py", "any(item.seller_id == reader.user_id for item in found.items)", "True"),
        tests=(f"{ACCESS}::test_every_route_with_everybody[owner]",),
    ),
    guard(
        "a seller's evidence is of their own part",
        ("api/timelines.py", "    if seller_id is not None:", "    if False:"),
        tests=("tests/api/test_api_disputes.py::test_a_seller_sees_nothing_of_other_sellers",),
    ),
    guard(
        "nobody buys their own",
        ("domain/marketplace.py", "if any(ticket.seller_id == buyer_id for ticket in tickets):", "if False:"),
        tests=(f"{ACCESS}::test_every_route_with_everybody[seller]",),
    ),
    guard(
        "a collection is one's own",
        (
            "adapters/collection.py",
            "DELETE FROM collection WHERE user_id = %s AND ticket_id = %s",
            "DELETE FROM collection WHERE user_id <> %s AND ticket_id = %s",
        ),
        tests=(f"{MATRIX}::test_a_collection_and_a_key_are_ones_own",),
    ),
    guard(
        "an idempotency key is one's own",
        ("api/calls.py", "once(self.user.user_id, self.key", "once(UUID(int=0), self.key"),
        tests=(f"{MATRIX}::test_a_collection_and_a_key_are_ones_own",),
    ),
    guard(
        "mass assignment is refused",
        ("api/models.py", "forbid_unknown_fields=True", "forbid_unknown_fields=False"),
        tests=(f"{ACCOUNTS}::test_a_bad_sign_up_names_the_field",),
    ),
    # Pages
    guard(
        "the origin of a page",
        (
            "api/browser_sessions.py",
            'raise Refused("foreign_origin", "a session is begun from a page of the house")',
            "return True",
        ),
        tests=(f"{SESSIONS}::test_a_page_of_another_origin_gets_and_ends_no_session",),
    ),
    guard(
        "a cookie alone is nothing",
        (
            "api/browser_sessions.py",
            "return call.request.cookies.get(COOKIE) if is_wanted(call) else None",
            "return call.request.cookies.get(COOKIE)",
        ),
        tests=(f"{SESSIONS}::test_a_cookie_alone_is_nothing",),
    ),
    guard(
        "no script has the cookie",
        ("api/browser_sessions.py", "httponly=True", "httponly=False"),
        tests=(f"{SESSIONS}::test_the_refresh_token_is_in_the_cookie_and_nowhere_else",),
    ),
    guard(
        "what sellers write is text",
        ("web/rendering.py", "autoescape=True", "autoescape=False"),
        tests=("tests/web/test_web_pages.py::test_what_sellers_write_is_text_and_nothing_else",),
    ),
    guard(
        "the signature of a ticket's code",
        ("adapters/ticket_codes.py", "public.verify(_decoded(signature), signed.encode())", "_decoded(signature)"),
        tests=("tests/web/test_web_ticket_codes.py::test_another_house_signs_otherwise",),
    ),
    # Tokens
    guard(
        "signatures are verified",
        ("api/auth.py", '"strict_aud": True}', '"strict_aud": True, "verify_signature": False}'),
        tests=(f"{TRICKS}::test_a_changed_token",),
    ),
    guard(
        "one algorithm, never the public key as a shared secret",
        ("api/auth.py", ' or header.get("alg") != ALGORITHM', ""),
        ("api/auth.py", "algorithms=[ALGORITHM]", 'algorithms=[ALGORITHM, "HS256"]'),
        (
            "api/auth.py",
            "                token,\n                key,\n",
            "                token,\n                _naive_key(token, key),\n",
        ),
        ("api/auth.py", "\ndef bearer_token(", _NAIVE_KEY),
        tests=(f"{TRICKS}::test_the_public_key_as_a_shared_secret",),
    ),
    guard(
        "no key that a token brings along",
        ("api/auth.py", " or any(name in header for name in _FOREIGN_KEYS)", ""),
        tests=(f"{TOKENS}::test_a_header_that_is_not_ours",),
    ),
    guard(
        "the type of a token",
        ("api/auth.py", 'header.get("typ") != TYPE or ', ""),
        tests=(f"{TOKENS}::test_a_header_that_is_not_ours",),
    ),
    guard(
        "the audience",
        ("api/auth.py", '"strict_aud": True', '"verify_aud": False'),
        tests=(f"{TOKENS}::test_a_claim_that_is_wrong_or_missing",),
    ),
    guard(
        "the issuer",
        ("api/auth.py", "                issuer=ISSUER,\n", ""),
        tests=(f"{TOKENS}::test_a_claim_that_is_wrong_or_missing",),
    ),
    guard(
        "expiry",
        ("api/auth.py", '"strict_aud": True', '"strict_aud": True, "verify_exp": False'),
        tests=(f"{TOKENS}::test_a_claim_that_is_wrong_or_missing",),
    ),
    guard(
        "not before",
        ("api/auth.py", '"strict_aud": True', '"strict_aud": True, "verify_nbf": False'),
        tests=(f"{TOKENS}::test_a_claim_that_is_wrong_or_missing",),
    ),
    guard(
        "every claim is there",
        ("api/auth.py", '"require": _CLAIMS', '"require": []'),
        tests=(f"{TOKENS}::test_a_claim_that_is_wrong_or_missing",),
    ),
    guard(
        "a remembered token expires",
        ("api/auth.py", "elif principal.expires_at < time.time():", "elif False:"),
        tests=(f"{TOKENS}::test_a_verified_token_is_refused_once_it_has_expired",),
    ),
    guard(
        "an ended session",
        ("api/auth.py", "if principal.session_id in self._ended:", "if False:"),
        tests=(f"{TRICKS}::test_what_ends_a_session_ends_every_token_of_it_on_every_route",),
    ),
    guard(
        "a retired key ends",
        ("adapters/token_keys.py", "retired_at + OVERLAP < datetime.now(UTC)", "False"),
        ("adapters/token_keys.py", " AND (retired_at IS NULL OR retired_at > now() - interval '1 hour')", ""),
        tests=(f"{TOKENS}::test_a_key_retired_long_ago_verifies_nothing",),
    ),
    guard(
        "a refresh token used twice ends its family",
        ("adapters/accounts.py", 'await connection.execute(f"{_END} session_id = %s", (session_id,))', "pass"),
        tests=(f"{ACCOUNTS}::test_a_refresh_rotates_and_the_old_token_ends_the_family",),
    ),
    guard(
        "a new password ends the other sessions",
        ("domain/marketplace.py", "    work.keep(SessionsEnded(user_id, but))\n", ""),
        tests=(f"{TRICKS}::test_what_ends_a_session_ends_every_token_of_it_on_every_route[password]",),
    ),
    guard(
        "erasure ends every session",
        ("domain/marketplace.py", "            work.keep(SessionsEnded(user_id))\n", ""),
        tests=(f"{TRICKS}::test_what_ends_a_session_ends_every_token_of_it_on_every_route[erasure]",),
    ),
    # Passwords
    guard(
        "Argon2id as OWASP says",
        ("adapters/passwords.py", "= 19 * 1024, 2, 1", "= 1024, 1, 1"),
        tests=(f"{SECRETS}::test_passwords_are_stored_by_argon2id",),
    ),
    guard(
        "an unknown address takes as long",
        (
            "adapters/passwords.py",
            "return await self._run(check)",
            "return encoded is not None and await self._run(check)",
        ),
        tests=(f"{ACCOUNTS}::test_an_unknown_address_takes_as_long_as_a_wrong_password",),
    ),
    guard(
        "the shortest password",
        ("api/fields.py", "MIN_PASSWORD, MAX_PASSWORD = 8,", "MIN_PASSWORD, MAX_PASSWORD = 1,"),
        tests=(f"{ACCOUNTS}::test_a_bad_sign_up_names_the_field",),
    ),
    guard(
        "the present password first",
        ("api/users.py", "if body.password is not UNSET or email is not None:", "if False:"),
        tests=(f"{ACCOUNTS}::test_address_and_password_change_only_with_the_present_password",),
    ),
    guard(
        "guessing is slowed down",
        ("api/signing_in.py", "    services.limits.check_password(email, call.remote)\n", ""),
        tests=(f"{LIMITS}::test_a_password_cannot_be_guessed_at_full_speed",),
    ),
    guard(
        "refresh tokens are not stored",
        ("api/signing_in.py", "return hashlib.sha256(secret.encode()).digest()", "return secret.encode()"),
        tests=(f"{ACCOUNTS}::test_a_refresh_token_is_not_stored",),
    ),
    # What comes in
    guard(
        "a bound for each address",
        ("api/endpoint.py", "call.services.limits.check_address(call.remote)", "pass"),
        tests=(f"{LIMITS}::test_beyond_the_bound_one_is_told_when_to_come_again",),
    ),
    guard(
        "a bound for each account",
        ("api/endpoint.py", "call.services.limits.check_account(call.principal.user_id)", "pass"),
        tests=(f"{LIMITS}::test_an_account_has_a_bound_of_its_own",),
    ),
    guard(
        "a bound for bodies",
        ("api/bodies.py", "MAX_BODY_BYTES = 64 * 1024", "MAX_BODY_BYTES = 64 * 1024 * 1024"),
        tests=(f"{PROBLEMS}::test_a_body_that_is_too_large",),
    ),
    guard(
        "nothing is unpacked",
        ("api/bodies.py", 'if request.headers.get(hdrs.CONTENT_ENCODING, "identity") != "identity":', "if False:"),
        tests=(f"{PROBLEMS}::test_a_compressed_body_is_not_unpacked",),
    ),
    guard(
        "a form is no JSON",
        ("api/bodies.py", "if raw and said is not None and JSON not in", "if False and JSON not in"),
        tests=(f"{HEADERS}::test_a_form_of_another_site_changes_nothing",),
    ),
    guard(
        "a parameter stands once",
        ("api/bodies.py", "if len(given) != len(set(given)):", "if False:"),
        tests=("tests/api/test_api_tickets.py::test_a_bad_search_names_the_parameter",),
    ),
    guard(
        "no card numbers",
        ("api/models.py", 'pattern=r"^pm_[A-Za-z0-9_]+(?![\\s\\S])",', ""),
        ("api/payments.py", 'cards.refuse(body.payment_method, "payment_method")', "pass"),
        tests=(f"{SECRETS}::test_a_card_number_is_refused_and_not_repeated",),
    ),
    guard(
        "Stripe's signature",
        ("adapters/stripe_webhooks.py", "    stripe_signature.check(raw, signature, secrets)\n", ""),
        tests=(f"{WEBHOOKS}::test_a_bad_signature_is_refused",),
    ),
    guard(
        "and its age",
        ("adapters/stripe_signature.py", "if abs(time.time() - int(times[0])) > TOLERANCE_SECONDS:", "if False:"),
        tests=(f"{WEBHOOKS}::test_a_bad_signature_is_refused",),
    ),
    guard(
        "the amount of a charge",
        ("domain/order.py", "if charge.money != self.total:", "if False:"),
        tests=(f"{WEBHOOKS}::test_money_that_is_not_the_orders_is_never_taken",),
    ),
    guard(
        "another account's events",
        ("adapters/stripe_webhooks.py", "event.account is None or event.type == ACCOUNT_UPDATED", "True"),
        tests=(f"{WEBHOOKS}::test_orders_of_another_house_and_connected_accounts_are_ignored",),
    ),
    guard(
        "an account speaks for itself",
        ("adapters/stripe_webhooks.py", " or of != account.id", ""),
        tests=(f"{WEBHOOKS}::test_an_account_speaks_for_its_own_seller_only",),
    ),
    guard(
        "and for its own seller",
        ("domain/user.py", "if account.account_id != self.account_id:", "if False:"),
        tests=(f"{WEBHOOKS}::test_an_account_speaks_for_its_own_seller_only",),
    ),
    guard(
        "the currency of a refund",
        ("domain/order_refunds.py", "made.money.currency != order.total.currency or made.money.amount <= 0", "False"),
        tests=("tests/input/test_input_webhooks.py::test_a_refund_or_dispute_of_other_money_is_left_out",),
    ),
    guard(
        "the order that numbers a refund",
        ("adapters/stripe_objects.py", " and order_id in (None, named) else None", " else None"),
        tests=(f"{WEBHOOKS}::test_a_number_of_another_order_is_none",),
    ),
    guard(
        "late news of a refund that failed",
        ("domain/order_refunds.py", " or made.is_over(known)", ""),
        tests=(f"{WEBHOOKS}::test_a_refund_of_ours_fails_and_is_made_again_whatever_the_order_of_the_news",),
    ),
    # What goes out
    guard(
        "an error says nothing of itself",
        ("api/problems.py", '"it was reported under this answer\'s instance"', "str(error)"),
        tests=(f"{PROBLEMS}::test_what_nobody_foresaw_shows_nothing_of_itself",),
    ),
    guard(
        "headers on every answer",
        ("api/endpoint.py", "        protect(response)\n", ""),
        tests=(f"{HEADERS}::test_every_route_whatever_it_answers",),
    ),
    guard(
        "and on what is no HTTP",
        ("api/protocol.py", "    protect(response)\n", ""),
        tests=(f"{HEADERS}::test_what_is_no_http",),
    ),
    guard(
        "private answers are not kept",
        (
            "api/answers.py",
            """def response(self, cache: str = PRIVATE) -> web.Response:
        \"\"\"The HTTP response.\"\"\"""",
            """def response(self, cache: str = REVALIDATE) -> web.Response:
        \"\"\"The HTTP response.\"\"\"""",
        ),
        tests=(f"{HEADERS}::test_every_route_whatever_it_answers",),
    ),
    guard(
        "the policy of /docs",
        ("api/docs.py", "script-src 'self';", "script-src 'self' 'unsafe-inline';"),
        tests=(f"{HEADERS}::test_every_route_whatever_it_answers",),
    ),
    guard(
        "exact origins",
        ("api/cors.py", "        if origin in self._origins:\n", "        if origin:\n"),
        tests=(f"{HEADERS}::test_a_page_of_another_origin_reads_nothing_of_any_route",),
    ),
    guard(
        "no private key is published",
        (
            "adapters/token_keys.py",
            '"kty": "OKP", "x": _base64url(raw)}',
            '"kty": "OKP", "x": _base64url(raw), "d": ""}',
        ),
        tests=(f"{TOKENS}::test_others_can_verify_our_tokens_by_the_published_keys",),
    ),
    guard(
        "Schemathesis notices what the document leaves out",
        (
            "api/route.py",
            """        if self.query is not None:
            codes |= {"validation_failed"}
""",
            "",
        ),
        tests=("tests/doors/test_schemathesis.py::test_the_bounds_of_every_field_are_kept",),
    ),
    # On the machine
    guard(
        "the API is on loopback",
        ("adapters/settings.py", 'DEFAULT_HOST = "127.0.0.1"', 'DEFAULT_HOST = "0.0.0.0"'),
        tests=(f"{EMBEDDED}::test_every_server_is_on_loopback_or_a_socket",),
    ),
    guard(
        "secrets are their owner's",
        ("cli/embedded/folder.py", "os.O_EXCL, 0o600)", "os.O_EXCL, 0o644)"),
        tests=(f"{EMBEDDED}::test_secrets_are_their_owners_alone",),
    ),
    guard(
        "parts write for their owner alone",
        ("cli/supervisor.py", "                umask=0o077,  #", "                #"),
        ("sandbox/store.py", "path.touch(0o600)", "path.touch(0o644)"),
        tests=(f"{EMBEDDED}::test_secrets_are_their_owners_alone",),
    ),
    guard(
        "backups are their owner's",
        ("cli/backup/dump.py", "os.umask(0o077)", "os.umask(0o022)"),
        tests=("tests/backup/test_backup.py::test_it_is_for_its_owner_alone_and_says_what_is_in_it",),
    ),
    # Addresses, links, places, personal data, text
    guard(
        "common passwords",
        ("adapters/common_passwords.py", "return folded(password) in _listed()", "return False"),
        tests=("tests/accounts/test_new_passwords.py::test_they_are_refused_at_sign_up_and_at_a_change",),
    ),
    guard(
        "a password that the account gives away",
        ("api/new_passwords.py", 'if {_bare(guessed), _bare(guessed.rstrip("0123456789"))} & known:', "if False:"),
        tests=("tests/accounts/test_new_passwords.py::test_what_the_account_gives_away_is_refused",),
    ),
    guard(
        "a new password cancels its links",
        ("adapters/record_writer.py", "if record.cancels_links:", "if False:"),
        tests=("tests/accounts/test_password_reset.py::test_a_newer_link_or_a_changed_password_cancels_it",),
    ),
    guard(
        "a link has its time",
        ("adapters/letters.py", " AND expires_at > clock_timestamp()", ""),
        ("adapters/store_transaction.py", " AND expires_at > clock_timestamp()", ""),
        tests=("tests/accounts/test_password_reset.py::test_it_is_good_for_an_hour_and_for_nothing_else",),
    ),
    guard(
        "a link is not stored",
        ("adapters/letters.py", "return hashlib.sha256(token.encode()).digest()", "return token.encode()"),
        tests=("tests/accounts/test_verification.py::test_neither_token_nor_letter_stays_in_the_database",),
    ),
    guard(
        "a verified address, where it is required",
        ("api/endpoint.py", "if route.needs_verified_email and call.services.settings.verified_email:", "if False:"),
        tests=("tests/accounts/test_verification.py::test_where_it_is_required_only_verified_accounts_list_and_order",),
    ),
    guard(
        "only proxies of ours are believed",
        ("api/addresses.py", "        if not self.trusts(peer):\n            return peer\n", ""),
        tests=("tests/limits/test_limits_addresses.py::test_nobody_else_is_believed",),
    ),
    guard(
        "a cap on what one buyer holds",
        ("domain/ticket.py", "if held + quantity > most:", "if False:"),
        tests=("tests/limits/test_limits_held.py::test_up_to_the_cap_and_not_beyond",),
    ),
    guard(
        "tries on one listing",
        ("api/limits.py", "_refuse(self._orders.take((user_id, listing), now))", "pass"),
        tests=("tests/limits/test_limits_rules.py::test_one_account_tries_one_listing_so_often",),
    ),
    guard(
        "one password on everybody's account",
        ("api/limits.py", "self._check(self._sign_ins, remote)", "pass"),
        tests=("tests/limits/test_limits_rules.py::test_one_password_is_not_tried_on_everybody",),
    ),
    guard(
        "slow heads are cut",
        ("api/protocol.py", "if now - self._head_since > HEAD_SECONDS:", "if False:"),
        tests=("tests/limits/test_limits_connections.py::test_slow_and_silent_clients_are_cut_in_time",),
    ),
    guard(
        "who takes no answer is cut",
        ("api/protocol.py", "if now - self._stuck_since > WRITE_SECONDS:", "if False:"),
        tests=("tests/limits/test_limits_connections.py::test_who_reads_no_answer_is_cut",),
    ),
    guard(
        "places of one address",
        ("api/connections.py", "(not network or self._of_network[network] < (self._per_address or 0))", "True"),
        tests=("tests/limits/test_limits_connections.py::test_one_address_does_not_take_all_places",),
    ),
    guard(
        "load is shed",
        ("api/load.py", "        if self.is_full:\n            raise Busy(self._refusal)\n", ""),
        tests=("tests/limits/test_limits_load.py::test_beyond_so_many_requests_under_way_one_is_told_to_come_again",),
    ),
    guard(
        "accounts are sealed",
        (
            "adapters/personal_data.py",
            "return sealed(self._cipher, text.encode(), self._purpose(field))",
            "return text.encode()",
        ),
        (
            "adapters/personal_data.py",
            "return opened(self._cipher, sealed_text, self._purpose(field)).decode()",
            "return sealed_text.decode()",
        ),
        tests=("tests/privacy/test_sealed_accounts.py::test_nothing_of_a_person_is_in_the_database",),
    ),
    guard(
        "an erasure destroys the key",
        (
            "adapters/record_writer.py",
            '    await connection.execute("DELETE FROM personal_keys WHERE user_id = %s", (record.user_id,))\n',
            "",
        ),
        tests=("tests/privacy/test_erasure.py::test_the_events_stay_and_the_person_is_gone",),
    ),
    guard(
        "the house key is the database's",
        ("adapters/house_key.py", "    if is_foreign(house_key, _one(connection, _CHECK)):", "    if False:"),
        tests=("tests/privacy/test_house_key.py::test_an_api_does_not_start_with_another_key",),
    ),
    guard(
        "one form of text",
        ("api/json_tree.py", "container[place] = normalised(value)", "pass"),
        tests=("tests/input/test_input_text.py::test_lengths_are_those_of_the_normal_form",),
    ),
    guard(
        "nothing turns text around",
        ("api/text.py", "    (0x202A, 0x202E),  # what turns text around\n", ""),
        tests=("tests/input/test_input_text.py::test_what_is_refused_is_what_unicode_says_is_not_seen_or_turns_text",),
    ),
    guard(
        "a field stands once",
        ("api/json_tree.py", "json.loads(raw, object_pairs_hook=_refuse_twice)", "pass"),
        tests=("tests/input/test_input_json.py::test_a_name_given_twice_is_refused",),
    ),
    guard(
        "the depth of a body",
        ("api/json_tree.py", "for _ in range(MAX_DEPTH + 1):", "for _ in range(10_000):"),
        tests=("tests/input/test_input_json.py::test_depth_is_bounded",),
    ),
    guard(
        "currencies there are",
        ("domain/listing.py", "if currency not in CURRENCIES:", "if False:"),
        tests=("tests/input/test_input_money.py::test_what_stripe_would_refuse_is_not_offered",),
    ),
    guard(
        "play money stays play money",
        ("adapters/stripe_webhooks.py", " and event.livemode in (None, live)", ""),
        tests=("tests/input/test_input_webhooks.py::test_play_money_is_not_heard_by_a_live_house",),
    ),
    # What it is made of
    guard(
        "packages are pinned",
        ("requirements/runtime.txt", "\naiohttp==", "\naiohttp>="),
        tests=(f"{REQUIREMENTS}::test_every_package_is_pinned_with_hashes",),
    ),
    guard(
        "each package has a reason",
        ("pyproject.toml", '    "aiohttp>=3.14,<4",\n', '    "aiohttp>=3.14,<4",\n    "multidict",\n'),
        tests=(f"{REQUIREMENTS}::test_every_package_has_a_reason_or_somebody_who_needs_it",),
    ),
    guard(
        "the security rules of the linter are on",
        ("pyproject.toml", '"RUF", "S", "ASYNC"', '"RUF", "ASYNC"'),
        tests=(f"{REQUIREMENTS}::test_every_s_rule_that_is_let_pass_says_why",),
    ),
)
