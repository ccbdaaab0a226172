// How the house is doing: whether it takes orders, how many, and how far what follows from them lags behind.

import { announce, fill, make, makeSvg, one } from "./dom.js";
import { count } from "./words.js";

const EVERY_MS = 2_000;
const LATE_SECONDS = 10;

const SEEN = 90; // looks that are kept: three minutes

const content = one("#content");
const rates = [];
let said = "";

const WHAT = { relay: "publishes events to Kafka", ticket_listing: "what is found and shown", buyer_orders: "orders, deadlines, refunds", user_status: "which accounts there are" };

function stateOf(reader) {
  if (reader.parked_events) return ["bad", `${count(reader.parked_events)} parked: stagedoor parked list`];
  if (reader.lag_seconds > LATE_SECONDS) return ["late", "behind"];
  return ["good", "all well"];
}

/** Orders per second since the page was opened, three minutes at most; the figure beside it says the last one. */
function plot() {
  const top = Math.max(1, ...rates);
  const places = rates.map((rate, at) => `${((100 * (SEEN - rates.length + at)) / (SEEN - 1)).toFixed(2)} ${(30 - (28 * rate) / top).toFixed(2)}`);
  return makeSvg("svg", { viewBox: "0 0 100 30", preserveAspectRatio: "none", role: "img", "aria-label": `Orders per second in the last three minutes: at most ${top.toFixed(1)}` },
    makeSvg("path", { class: "line", d: `M${places.join("L")}` }));
}

function figures({ orders_per_second: rate, open_orders: open }) {
  rates.push(rate);
  if (rates.length > SEEN) rates.shift();
  return make("section", { class: "columns", "aria-label": "How much is going on" },
    make("dl", { class: "figures large" },
      make("div", {}, make("dt", {}, "Orders per second"), make("dd", { "data-rate": true }, rate.toFixed(1))),
      make("div", {}, make("dt", {}, "Orders that hold tickets"), make("dd", { "data-open": true }, count(open)))),
    make("figure", { class: "plot" }, plot(), make("figcaption", {}, "Orders per second, the last three minutes")));
}

function show(ready, activity) {
  const states = ready.readers.map((reader) => [reader, ...stateOf(reader)]);
  const worst = ready.relay_trouble ? "bad" : (["bad", "late"].find((kind) => states.some(([, state]) => state === kind)) ?? "good");
  const headline = { good: "All is well", late: "Orders are taken; what is shown lags behind", bad: "Orders are taken, and somebody has to look" }[worst];
  fill(content,
    make("p", { class: `headline ${worst}` }, headline),
    ready.relay_trouble && make("p", { class: "note bad", role: "alert" }, `Nothing is published: ${ready.relay_trouble}`),
    activity && figures(activity),
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Readers of the log" }, make("table", {},
      make("caption", {}, `The log ends at position ${count(ready.log_end)}`),
      make("thead", {}, make("tr", {}, ["Reader", "Position", "Events behind", "Seconds behind", "State"].map((text) => make("th", { scope: "col" }, text)))),
      make("tbody", {}, states.map(([reader, kind, text]) => make("tr", {},
        make("th", { scope: "row" }, reader.name, WHAT[reader.name] && make("span", { class: "hint" }, WHAT[reader.name])),
        make("td", {}, count(reader.position)), make("td", {}, count(reader.lag_events)), make("td", {}, reader.lag_seconds.toFixed(1)),
        make("td", { class: `state ${kind}` }, text)))))));
  if (headline !== said) announce(headline);
  said = headline;
}

function showAway(text) {
  fill(content, make("p", { class: "headline bad" }, "No orders are taken"), make("p", { class: "note bad", role: "alert" }, text));
  said = "";
}

async function look() {
  if (!document.hidden) {
    try {
      const [response, going] = await Promise.all([fetch("/readyz"), fetch("/api/activity")]);
      const body = await response.json();
      if (response.ok) show(body, going.ok ? await going.json() : null);
      else showAway(body.detail);
    } catch {
      showAway("The house cannot be reached.");
    }
  }
  setTimeout(look, EVERY_MS);
}

look();
