// A seller's money: what was sold, taken, given back and paid out, in words, in plots over time and in tables.

import { announce, busily, fill, make, makeSvg, trouble } from "./dom.js";
import { ask, get, post } from "./api.js";
import { count, plural, refusal, sum } from "./words.js";

const MS = { hour: 3_600_000, day: 86_400_000 };
const TALL = 30; // of a plot, whose width is the number of its steps
const MOST_LISTINGS = 10;

// Steps are UTC's, as the API's are; the first one is whole.
const TIMES = {
  week: { text: "7 days, by the hour", interval: "hour", first: (now) => begin(now, "hour") - 167 * MS.hour },
  days: { text: "30 days, by the day", interval: "day", first: (now) => begin(now, "day") - 29 * MS.day },
  year: { text: "12 months, by the month", interval: "month", first: (now) => Date.UTC(new Date(now).getUTCFullYear(), new Date(now).getUTCMonth() - 11) },
};

const NAMED = {
  hour: { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: "UTC" },
  day: { day: "numeric", month: "short", timeZone: "UTC" },
  month: { month: "short", year: "numeric", timeZone: "UTC" },
};

const PLOTS = [["tickets", "Tickets sold"], ["gross", "Money taken"], ["refunded", "Refunds"], ["paid_out", "Payouts"]];
const NOTHING = { tickets: 0, gross: 0, refunded: 0, fees: 0, net: 0, paid_out: 0 };

// Steps ----------------------------------------------------------------------------------------------------------------

const begin = (moment, interval) => moment - (moment % MS[interval]);

const nameOf = (start, interval) => new Date(start).toLocaleString("en-GB", NAMED[interval]);

function following(start, interval) {
  if (interval !== "month") return start + MS[interval];
  return Date.UTC(new Date(start).getUTCFullYear(), new Date(start).getUTCMonth() + 1);
}

/** Every step of the time; those that the API leaves out, since nothing happened in them, are zeros. */
function steps({ from, to, interval, series }, currency) {
  const known = new Map(series.filter((step) => step.currency === currency).map((step) => [Date.parse(step.start), step]));
  const found = [];
  for (let start = Date.parse(from); start < Date.parse(to); start = following(start, interval)) {
    found.push({ ...NOTHING, ...known.get(start), name: nameOf(start, interval), isKnown: known.has(start) });
  }
  return found;
}

const says = (field, currency) => (field === "tickets" ? (amount) => plural(amount, "ticket") : (amount) => sum({ amount, currency }));

// Plots ----------------------------------------------------------------------------------------------------------------

/** One figure of every step as bars. Money that came back from a seller is a payout below 0, and goes down. */
function plot(found, field, text, say) {
  const amounts = found.map((step) => step[field]);
  const [most, least] = [Math.max(...amounts, 0), Math.min(...amounts, 0)];
  const y = (amount) => (TALL * (most - amount)) / (most - least || 1);
  const bars = found.flatMap((step, at) => (step[field] === 0 ? [] : makeSvg("rect",
    { class: `bar ${field}`, x: at + 0.1, width: 0.8, y: y(Math.max(step[field], 0)), height: Math.abs(y(step[field]) - y(0)) },
    makeSvg("title", {}, `${step.name}: ${say(step[field])}`))));
  const peak = most > 0 && `most ${say(most)}, ${found[amounts.indexOf(most)].name}`;
  const dip = least < 0 && `least ${say(least)}, ${found[amounts.indexOf(least)].name}`;
  const [first, last] = [found[0].name, found.at(-1).name];
  const total = say(amounts.reduce((one, other) => one + other, 0));
  return make("figure", { class: "plot", "data-plot": field },
    make("figcaption", {}, make("b", {}, text), ` ${total}`),
    makeSvg("svg", { viewBox: `0 0 ${found.length} ${TALL}`, preserveAspectRatio: "none", role: "img",
      "aria-label": [`${text} from ${first} to ${last}: ${total}`, peak, dip].filter(Boolean).join("; ") },
    ...bars, ...(least < 0 ? [makeSvg("path", { class: "zero", d: `M0 ${y(0)}H${found.length}` })] : [])),
    make("p", { class: "axis" }, make("span", {}, first), make("span", {}, [peak, dip].filter(Boolean).join("; ")), make("span", {}, last)));
}

// Words and tables -----------------------------------------------------------------------------------------------------

function figures(found, currency, balance) {
  const total = found.totals.find((one) => one.currency === currency) ?? { ...NOTHING, owed: balance?.owed ?? 0 };
  const [yours, whom] = found.seller_id === null ? ["Sellers’", "sellers"] : ["Yours", "you"];
  const owed = total.owed < 0 ? [`Comes back from ${whom}`, -total.owed] : [`Still owed to ${whom}`, total.owed];
  const lines = [
    ["tickets", "Tickets sold", count(total.tickets)],
    ...[["gross", "Buyers paid", total.gross], ["refunded", "Refunded", total.refunded], ["fees", "House’s fees", total.fees],
      ["net", yours, total.net], ["paid_out", "Paid out", total.paid_out], ["owed", ...owed]].map(([key, text, amount]) => [key, text, sum({ amount, currency })]),
    ...(balance?.disputed ? [["disputed", "Of your sales, held by buyers’ banks", sum({ amount: balance.disputed, currency })]] : []),
  ];
  return make("dl", { class: "figures" }, lines.map(([key, text, value]) => make("div", {}, make("dt", {}, text), make("dd", { "data-sum": key }, value))));
}

function table(caption, columns, rows) {
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, make("table", {},
    make("caption", {}, caption),
    make("thead", {}, make("tr", {}, columns.map((text) => make("th", { scope: "col" }, text)))),
    make("tbody", {}, rows.map(([head, ...cells]) => make("tr", {}, make("th", { scope: "row" }, head), cells.map((cell) => make("td", {}, cell)))))));
}

function inNumbers(found, currency, { interval }) {
  const fields = ["gross", "refunded", "fees", "net", "paid_out"];
  const rows = found.filter((step) => step.isKnown).map((step) => [step.name, count(step.tickets), ...fields.map((field) => sum({ amount: step[field], currency }))]);
  return make("details", {}, make("summary", {}, "The same in numbers"),
    table(`By the ${interval} (UTC), in ${currency}; where nothing happened there is no line`,
      [interval[0].toUpperCase() + interval.slice(1), "Tickets", "Taken", "Refunded", "House’s fees", "Sellers’ part", "Paid out"], rows));
}

function byListing(found, currency) {
  const sold = found.tickets.filter((one) => one.currency === currency).slice(0, MOST_LISTINGS);
  const rows = sold.map((one) => [make("a", { href: `/tickets/${one.ticket_id}` }, one.title ?? "A listing"), count(one.tickets),
    ...["gross", "refunded", "net"].map((field) => sum({ amount: one[field], currency }))]);
  return rows.length > 0 && table(`By listing, in ${currency}${sold.length < MOST_LISTINGS ? "" : `; the ${MOST_LISTINGS} that sold for most`}`,
    ["Listing", "Tickets", "Taken", "Refunded", "Sellers’ part"], rows);
}

function shown(found, currency, payouts) {
  const all = steps(found, currency);
  const balance = payouts.balances.find((one) => one.currency === currency);
  if (!all.some((step) => step.isKnown)) return [figures(found, currency, balance), make("p", { class: "found" }, "In this time nothing was sold, given back or paid out.")];
  return [figures(found, currency, balance), make("div", { class: "plots" }, PLOTS.map(([field, text]) => plot(all, field, text, says(field, currency)))),
    inNumbers(all, currency, found), byListing(found, currency)];
}

// The account at Stripe ------------------------------------------------------------------------------------------------

const WHEN = { at_once: "as soon as a buyer has paid", after_event: "after the event" };

/** How the account stands, and what its button is called; without one there is nothing to do. */
function stands(account) {
  if (!account) return ["You have no account there yet; until you have one, your money waits.", "Open an account at Stripe"];
  if (account.transfers_enabled && account.payouts_enabled) return ["Your account there can be paid."];
  if (account.details_submitted) return ["Stripe has been told all it first asked for, but your account cannot be paid yet.", "See what Stripe needs"];
  return ["Stripe does not know enough of you yet; until it does, your money waits.", "Go on at Stripe"];
}

function accountLine({ account, timing, fee_bps: fee }) {
  const keeps = fee > 0 && ` The house keeps ${fee / 100} % of each sale.`;
  if (timing === "off") return make("p", { class: "hint" }, "The house pays sellers by other means than Stripe, and what it pays so is not counted here.", keeps);
  const [text, label] = stands(account);
  const wrong = make("p", { class: "note bad", role: "alert", hidden: true });
  const button = label && make("button", { class: "button quiet", type: "button", onclick: () => busily(button, async () => {
    trouble(wrong);
    try {
      location.assign((await post("/payouts/account")).url);
    } catch (problem) {
      trouble(wrong, refusal(problem));
    }
  }) }, label);
  return make("div", { class: "stack" }, make("p", { "data-account": true }, `Stripe pays you ${WHEN[timing]}. ${text}`, keeps), label && make("p", { class: "buttons" }, button), wrong);
}

// The section ----------------------------------------------------------------------------------------------------------

function choice(id, label, options, chosen, changed) {
  const select = make("select", { id, onchange: () => changed(select.value) }, options.map(([value, text]) => make("option", { value, selected: value === chosen }, text)));
  return make("div", { class: "field" }, make("label", { for: id }, label), select);
}

/** Fills the section. Throws `Problem` when there is nothing to fill it with. */
export async function showMoney(section) {
  const { body: payouts, now } = await ask("GET", "/payouts");
  const ahead = now - Date.now(); // the seller's clock may be wrong
  const sales = (time) => get(`/analytics/sales?interval=${TIMES[time].interval}&from=${new Date(TIMES[time].first(Date.now() + ahead)).toISOString()}`);
  let chosen = "days";
  let currency = null;
  let found = await sales(chosen);
  const heading = [...section.children].filter((child) => child.matches("h2"));
  const [place, currencies] = [make("div", { class: "stack" }), make("div")];
  const wrong = make("p", { class: "note bad", role: "alert", hidden: true });

  const show = () => {
    const codes = [...new Set([...found.totals, ...payouts.balances].map((one) => one.currency))].sort();
    if (!codes.includes(currency)) [currency] = codes;
    fill(currencies, codes.length > 1 && choice("money-currency", "Currency", codes.map((code) => [code, code]), currency, (code) => {
      currency = code;
      fill(place, shown(found, currency, payouts));
      announce(`Money in ${code}`);
    }));
    fill(place, shown(found, currency, payouts));
  };
  const times = choice("money-time", "Time", Object.entries(TIMES).map(([key, { text }]) => [key, text]), chosen, async (time) => {
    chosen = time;
    trouble(wrong);
    try {
      const answer = await sales(time);
      if (chosen !== time) return; // Another one was chosen meanwhile.
      found = answer;
      show();
      announce(`Money of ${TIMES[time].text}`);
    } catch (problem) {
      trouble(wrong, refusal(problem));
    }
  });

  if (found.totals.length === 0 && payouts.balances.length === 0) {
    fill(section, heading, make("p", { class: "found" }, "Nothing sold yet: with your first sale this is where you see what it brings."), accountLine(payouts));
    return;
  }
  show();
  fill(section, heading, found.seller_id === null && make("p", { class: "hint" }, "Everybody’s sales, since you look after the house."),
    accountLine(payouts), make("div", { class: "filters" }, times, currencies), wrong, place);
}
