// Money, times and refusals in words. Money and counts are said as the server says them (web/rendering.py).

const SYMBOLS = { EUR: "€", USD: "$", GBP: "£", JPY: "¥" };
const NO_PLACES = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF".split(" ");
const THREE_PLACES = "BHD IQD JOD KWD LYD OMR TND".split(" ");

/** Decimal places of a currency's minor unit (ISO 4217, as in domain/money.py; browsers follow another list). */
export function places(currency) {
  return NO_PLACES.includes(currency) ? 0 : THREE_PLACES.includes(currency) ? 3 : 2;
}

export function money({ amount, currency }) {
  return amount === 0 ? "free" : sum({ amount, currency });
}

/** A sum of what was paid, of which 0 and less than 0 are some, too: `€0.00`, `−€18.00`. */
export function sum({ amount, currency }) {
  const digits = places(currency);
  const text = (Math.abs(amount) / 10 ** digits).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return (amount < 0 ? "−" : "") + (SYMBOLS[currency] ?? `${currency}\u00a0`) + text;
}

/** Minor units of what somebody wrote, such as `45.50`; null if it is no amount. */
export function minorUnits(text, currency) {
  const digits = places(currency);
  const found = /^(\d{1,8})(?:[.,](\d{1,3}))?$/.exec(text.trim());
  if (!found || (found[2] ?? "").length > digits) return null;
  return Number(found[1]) * 10 ** digits + Number((found[2] ?? "").padEnd(digits, "0") || 0);
}

export const count = (number) => number.toLocaleString("en");

export const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;

export function availability({ status, available, held }) {
  if (status === "withdrawn") return "Withdrawn";
  if (available === 0) return held ? "In others’ hands right now" : "Sold out";
  return available <= 10 ? `Only ${available} left` : `${count(available)} available`;
}

const SHORT = { weekday: "short", day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const LONG = { ...SHORT, weekday: "long", month: "long", timeZoneName: "short" };

export const shortTime = (moment) => new Date(moment).toLocaleString("en-GB", SHORT);
export const longTime = (moment) => new Date(moment).toLocaleString("en-GB", LONG);

/** Times as the server wrote them are in UTC; here they become the reader's own. */
export function localise(root = document) {
  for (const time of root.querySelectorAll("time[data-short]")) time.textContent = shortTime(time.dateTime);
  for (const time of root.querySelectorAll("time[data-long]")) time.textContent = longTime(time.dateTime);
  for (const time of root.querySelectorAll("time[data-leaf]")) {
    const moment = new Date(time.dateTime);
    time.querySelector(".day").textContent = moment.getDate();
    time.querySelector(".month").textContent = moment.toLocaleString("en-GB", { month: "short" });
    time.querySelector(".year").textContent = moment.getFullYear();
  }
}

const REFUSALS = {
  bad_credentials: "The address or the password is wrong.",
  email_taken: "There is an account with this address. Sign in instead.",
  email_not_verified: "Your address is not verified yet: follow the link in the letter we sent you.",
  bad_link: "This link is not good any more. Ask for a new one.",
  sold_out: "Somebody was faster: there are not so many left.",
  too_many_held: "You hold as many of these as one buyer may. Pay for them first, or let them go.",
  own_ticket: "These are your own tickets.",
  ticket_locked: "Somebody is paying for tickets of this listing right now. Until they are done, at most until their hold ends, it stays as it is. Try again in a few minutes.",
  ticket_withdrawn: "The seller has withdrawn this listing.",
  ticket_not_found: "There is no such listing.",
  order_not_found: "There is no such order, or it is not yours.",
  order_not_open: "This order is not open any more.",
  version_mismatch: "It was changed meanwhile. Look at it again, then try once more.",
  collection_full: "Your collection is full.",
  too_many_requests: "That was a lot at once. Wait a few seconds.",
  busy: "Very many people are here right now. Try again in a few seconds.",
  unavailable: "The house does not answer right now. Try again in a few seconds.",
  payment_unavailable: "The payment provider does not answer. You were not charged; try again in a moment.",
  unauthenticated: "Sign in first.",
};

/** What to tell somebody whose request was refused. */
export function refusal(problem) {
  if (problem.code === "validation_failed" && problem.errors?.length) {
    return problem.errors.map(({ field, message }) => `${field.replace(/[._]/g, " ")}: ${message}`).join("; ");
  }
  return REFUSALS[problem.code] ?? problem.detail ?? "That did not work. Try again in a moment.";
}

const DECLINES = {
  insufficient_funds: "There is not enough money on this card. Nothing was charged. Try another one.",
  expired_card: "This card has expired. Try another one.",
  incorrect_cvc: "The security code is not this card’s. Look at the card again.",
  lost_card: "Your bank does not allow payments with this card. Try another one, or call your bank.",
  stolen_card: "Your bank does not allow payments with this card. Try another one, or call your bank.",
  fraudulent: "Your bank does not allow this payment. Try another card, or call your bank.",
  card_velocity_exceeded: "This card was used too often in a short time. Try another one.",
  processing_error: "The bank could not work on it. Nothing was charged. Try again in a moment.",
  authentication_required: "Your bank wants to know that it is you. Try again and confirm it.",
  payment_intent_authentication_failure: "Your bank was not told that it is you, so nothing was charged. Try again, or use another card.",
  generic_decline: "Your bank said no and gave no reason. Nothing was charged. Try another card, or call your bank.",
};

/** Why a card was not taken; the codes are Stripe's (docs.stripe.com/declines/codes). */
export function decline(error) {
  const reason = DECLINES[error.decline_code] ?? DECLINES[error.code];
  if (reason) return reason;
  // A mistake in the form is told by Stripe, in words for the person who fills it in.
  return error.type === "validation_error" && error.message ? error.message : DECLINES.generic_decline;
}

const TWO = (number) => String(number).padStart(2, "0");

/** `14:05`, or `1:02:09`. */
export function clock(seconds) {
  const whole = Math.max(0, Math.ceil(seconds));
  const hours = Math.floor(whole / 3600);
  const rest = `${TWO(Math.floor(whole / 60) % 60)}:${TWO(whole % 60)}`;
  return hours ? `${hours}:${rest}` : rest;
}
