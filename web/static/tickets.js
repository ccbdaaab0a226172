// The tickets one has bought: each with its code, to show at the door or to print.

import { fill, make, makeSvg, one } from "./dom.js";
import { fillOwn, get, listAll } from "./api.js";
import { correction, generate } from "./qr.js";
import { longTime, shortTime } from "./words.js";

const content = one("#content");
const PAGES = 5; // of a hundred orders each: more is a dealer's, who has the API

/** A QR code as one path, with the margin that readers need. */
function qr(text, label) {
  const code = generate(text, { minCorrectionLevel: correction.M });
  const margin = 4;
  let path = "";
  for (let y = 0; y < code.size; y += 1) {
    for (let x = 0; x < code.size; x += 1) {
      if (!code.get(x, y)) continue;
      let end = x + 1;
      while (end < code.size && code.get(end, y)) end += 1;
      path += `M${x} ${y}h${end - x}v1h${x - end}z`;
      x = end;
    }
  }
  const size = code.size + 2 * margin;
  return makeSvg("svg", { class: "qr", viewBox: `${-margin} ${-margin} ${size} ${size}`, role: "img", "aria-label": label, "shape-rendering": "crispEdges" },
    makeSvg("rect", { class: "paper", x: -margin, y: -margin, width: size, height: size }), makeSvg("path", { class: "ink", d: path }));
}

function card(ticket) {
  const which = `${ticket.number} of ${ticket.of}`;
  return make("li", { class: "ticket" },
    make("div", { class: "stub" },
      make("p", { class: "kicker" }, ticket.event.category ?? "Ticket"),
      make("h2", {}, ticket.title),
      make("p", { class: "lead" }, ticket.event.name),
      make("dl", { class: "facts" },
        make("div", {}, make("dt", {}, "When"), make("dd", {}, make("time", { datetime: ticket.event.starts_at }, longTime(ticket.event.starts_at)))),
        make("div", {}, make("dt", {}, "Where"), make("dd", {}, ticket.event.venue)),
        make("div", {}, make("dt", {}, "Ticket"), make("dd", {}, which))),
      make("p", { class: "small no-print" }, make("a", { href: `/tickets/${ticket.ticket_id}/event.ics`, download: true }, "Add to calendar"))),
    ticket.checked_in
      ? make("p", { class: "used" }, make("b", {}, "Used"), `${shortTime(ticket.checked_in.at)}${ticket.checked_in.gate ? `, ${ticket.checked_in.gate}` : ""}`)
      : make("div", { class: "code" }, qr(ticket.code, `The code of ticket ${which}, ${ticket.title}`), make("p", { class: "short-code" }, ticket.short_code)));
}

/** The ids of one's paid orders; the one that the page was asked for is among them, also if lists do not know it yet. */
async function paidOrders() {
  const asked = new URLSearchParams(location.search).get("order");
  const found = new Set(/^[0-9a-f-]{36}$/.test(asked) ? [asked] : []);
  for (const order of (await listAll("/orders", PAGES)).items) if (order.status === "completed") found.add(order.id);
  return found;
}

async function show() {
  const tickets = [];
  const found = await Promise.all([...(await paidOrders())].map((id) => get(`/orders/${id}/tickets`)));
  for (const { items } of found) tickets.push(...items);
  tickets.sort((a, b) => a.event.starts_at.localeCompare(b.event.starts_at));
  if (tickets.length === 0) {
    fill(content, make("p", { class: "lead" }, "No tickets yet. What you buy is here, ready for the door."), make("p", {}, make("a", { class: "button", href: "/" }, "Find your seat")));
    return;
  }
  const coming = tickets.filter((ticket) => Date.parse(ticket.event.starts_at) > Date.now() - 24 * 3600 * 1000);
  const past = tickets.filter((ticket) => !coming.includes(ticket));
  fill(content,
    make("p", { class: "no-print intro" }, "Each code lets one person in, once. Whoever has it can use it, so show it to nobody but the door. ",
      make("button", { class: "button quiet small", type: "button", onclick: () => print() }, "Print")),
    make("ul", { class: "tickets" }, coming.map(card)),
    past.length > 0 && make("details", { class: "no-print" }, make("summary", {}, "Past events"), make("ul", { class: "tickets" }, past.map(card))));
}

fillOwn(content, show);
