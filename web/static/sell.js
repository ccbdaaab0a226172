// One's listings: list, edit, withdraw, and what has happened to each; and what they bring.

import { all, announce, busily, fill, make, makeSvg, one, trouble } from "./dom.js";
import { currentUser, fillOwn, get, listAll, newKey, patch, post, remove, toSignIn } from "./api.js";
import { show, watch } from "./live.js";
import { availability, count, minorUnits, money, places, plural, refusal, shortTime } from "./words.js";

const content = one("#content");
const listings = make("ol", { class: "listings own" });
let unwatch = () => {};

// Forms ----------------------------------------------------------------------------------------------------------------

const FIELDS = [
  ["event", "Event", { required: true, maxlength: 200, placeholder: "The Long Winters" }],
  ["title", "What you sell", { required: true, maxlength: 200, placeholder: "Floor, standing" }],
  ["venue", "Venue", { required: true, maxlength: 200, placeholder: "Paradiso" }],
  ["starts_at", "Starts at (your time)", { type: "datetime-local", required: true }],
  ["category", "Category", { maxlength: 200, placeholder: "concert" }],
  ["price", "Price of one", { required: true, inputmode: "decimal", maxlength: 12, placeholder: "45.00" }],
  ["currency", "Currency", { required: true, maxlength: 3, minlength: 3, value: "EUR", autocapitalize: "characters" }],
  ["quantity", "How many", { required: true, type: "number", min: 1, max: 1000000, value: 1 }],
];

let forms = 0;

function localInput(moment) {
  const date = new Date(moment);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

function values(listing) {
  if (!listing) return {};
  const { event, price } = listing;
  const amount = (price.amount / 10 ** places(price.currency)).toFixed(places(price.currency));
  return { event: event.name, title: listing.title, venue: event.venue, starts_at: localInput(event.starts_at), category: event.category ?? "",
    price: amount, currency: price.currency, quantity: listing.quantity, description: listing.description ?? "" };
}

function body(form) {
  const given = Object.fromEntries(new FormData(form));
  const currency = given.currency.trim().toUpperCase();
  const amount = minorUnits(given.price, currency);
  if (amount === null) throw { code: "validation_failed", errors: [{ field: "price", message: "write it as 45 or 45.50" }] };
  return { title: given.title.trim(), quantity: Number(given.quantity), price: { amount, currency }, description: given.description.trim() || null,
    event: { name: given.event.trim(), venue: given.venue.trim(), starts_at: new Date(given.starts_at).toISOString(), category: given.category.trim() || null } };
}

/** A form for a listing; `send` gets what is to be sent, `done` what came back. */
function listingForm(listing, label, send, done) {
  forms += 1;
  const wrong = make("p", { class: "note bad", role: "alert", hidden: true });
  const button = make("button", { class: "button", type: "submit" }, label);
  const now = values(listing);
  const fields = FIELDS.map(([field, text, properties]) => make("div", { class: "field" },
    make("label", { for: `${field}-${forms}` }, text), make("input", { ...properties, id: `${field}-${forms}`, name: field, value: now[field] ?? properties.value })));
  const form = make("form", { class: "listing-form", onsubmit: (event) => {
    event.preventDefault();
    busily(button, async () => {
      trouble(wrong);
      try {
        done(await send(body(form)), form);
      } catch (problem) {
        trouble(wrong, refusal(problem));
      }
    });
  } },
  make("div", { class: "filters" }, fields),
  make("div", { class: "field" }, make("label", { for: `description-${forms}` }, "About (optional)"), make("textarea", { id: `description-${forms}`, name: "description", rows: 3, maxlength: 4000 }, now.description ?? "")),
  wrong, make("p", { class: "buttons" }, button));
  return form;
}

// A listing's history --------------------------------------------------------------------------------------------------

const HAPPENED = {
  TicketCreated: (data) => `Listed: ${plural(data.available, "ticket")}`,
  TicketUpdated: () => "Edited",
  TicketWithdrawn: () => "Withdrawn",
  TicketReserved: (data) => `${plural(data.quantity, "ticket")} held by an order`,
  TicketReleased: (data) => `${plural(data.quantity, "ticket")} released again`,
  TicketSold: (data) => `${plural(data.quantity, "ticket")} sold`,
  TicketReturned: (data) => `${plural(data.quantity, "ticket")} came back by a refund`,
};

const PAGES = 10; // of a hundred events each: a history of more is read by the API

/** Tickets sold over time, as steps; the timeline below says the same in words. */
function plot(items, quantity) {
  const known = items.filter((event) => "sold" in event.data).map((event) => [Date.parse(event.time), event.data.sold]);
  const most = Math.max(...known.map(([, sold]) => sold), 0);
  if (most === 0) return null;
  const first = known[0][0];
  const span = Math.max(Date.now() - first, 1);
  const top = Math.min(quantity, most * 1.15);
  const x = (time) => ((100 * (time - first)) / span).toFixed(2);
  const y = (sold) => (30 - (30 * sold) / top).toFixed(2);
  const steps = known.map(([time, sold]) => `H${x(time)}V${y(sold)}`).join("");
  return make("figure", { class: "plot" },
    make("figcaption", {}, `${plural(most, "ticket")} sold since ${shortTime(first)}`),
    makeSvg("svg", { viewBox: "0 0 100 30", preserveAspectRatio: "none", role: "img", "aria-label": "Tickets sold over time" },
      makeSvg("path", { class: "area", d: `M0 30V${y(0)}${steps}H100V30Z` }), makeSvg("path", { class: "line", d: `M0 ${y(0)}${steps}H100` })));
}

async function history(listing, place) {
  const list = make("ol", { class: "timeline" });
  const { items, more } = await listAll(`/tickets/${listing.id}/history`, PAGES);
  list.append(...items.map((event) => make("li", { "data-type": event.type },
    make("time", { datetime: event.time }, shortTime(event.time)), " ",
    make("span", {}, (HAPPENED[event.type] ?? (() => event.type))(event.data)))));
  fill(place, plot(items, listing.quantity), list, more && make("p", { class: "hint" }, `These are the first ${count(items.length)}; the API has all of them.`));
}

// A listing --------------------------------------------------------------------------------------------------------------

function row(listing) {
  const wrong = make("p", { class: "note bad", role: "alert", hidden: true });
  const drawer = make("div", { class: "drawer", hidden: true });
  const opened = (button, content) => {
    for (const other of all("[aria-expanded]", item)) if (other !== button) other.setAttribute("aria-expanded", "false");
    const isOpen = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!isOpen));
    drawer.hidden = isOpen;
    if (!isOpen) content();
  };
  const edit = make("button", { class: "button quiet small", type: "button", "aria-expanded": "false", onclick: () => opened(edit, async () => {
    const fresh = await get(`/tickets/${listing.id}`);
    fill(drawer, listingForm(fresh, "Keep the changes", (changed) => patch(`/tickets/${listing.id}`, changed), (changed) => {
      item.replaceWith(row(changed));
      announce("The listing is changed");
      keepLive();
    }));
    one("input", drawer).focus();
  }) }, "Edit");
  const past = make("button", { class: "button quiet small", type: "button", "aria-expanded": "false", onclick: () => opened(past, () => {
    fill(drawer, make("p", { class: "found" }, "One moment …"));
    history(listing, drawer).catch((problem) => trouble(wrong, refusal(problem)));
  }) }, "History");
  const withdraw = make("button", { class: "button quiet small", type: "button", onclick: () => busily(withdraw, async () => {
    if (withdraw.dataset.sure === undefined) {
      withdraw.dataset.sure = "";
      withdraw.textContent = "Really withdraw?";
      return;
    }
    try {
      trouble(wrong);
      await remove(`/tickets/${listing.id}`);
      item.replaceWith(row(await get(`/tickets/${listing.id}?min_version=${listing.version + 1}`)));
      announce("The listing is withdrawn");
    } catch (problem) {
      withdraw.textContent = "Withdraw";
      delete withdraw.dataset.sure;
      trouble(wrong, refusal(problem));
    }
  }) }, "Withdraw");

  const item = make("li", {}, make("article", { class: "listing own", "data-ticket": listing.id, "data-version": listing.version, "data-status": listing.status },
    make("div", { class: "what" },
      make("h2", {}, make("a", { href: `/tickets/${listing.id}` }, listing.title)),
      make("p", { class: "where" }, make("span", {}, listing.event.name), make("span", {}, listing.event.venue), make("time", { datetime: listing.event.starts_at }, shortTime(listing.event.starts_at)))),
    make("dl", { class: "figures" },
      make("div", {}, make("dt", {}, "Price"), make("dd", { "data-price": true }, money(listing.price))),
      make("div", {}, make("dt", {}, "Sold"), make("dd", { "data-sold": true }, count(listing.sold))),
      make("div", {}, make("dt", {}, "Being paid"), make("dd", { "data-held": true }, count(listing.held))),
      make("div", {}, make("dt", {}, "Left"), make("dd", { "data-left": true }, availability(listing)))),
    make("p", { class: "buttons" }, listing.status !== "withdrawn" && edit, past, listing.status !== "withdrawn" && withdraw), wrong, drawer));
  return item;
}

function keepLive() {
  unwatch();
  const shown = new Map(all("[data-ticket]", listings).map((element) => [element.dataset.ticket, element]));
  unwatch = watch([...shown.keys()].slice(0, 50), (listing) => show(shown.get(listing.id), listing));
}

// Money ----------------------------------------------------------------------------------------------------------------

/** The section; it comes after the listings, and Stripe sends sellers back to it. */
function moneySection(listed) {
  const title = make("h2", { id: "money-title" }, "Money");
  // Room is kept only where there is something to come.
  const isSold = listed.some(({ sold }) => sold > 0);
  const section = make("section", { id: "money", class: "stack", "aria-labelledby": "money-title", "aria-busy": isSold && "true" }, title);
  import("./money.js").then(({ showMoney }) => showMoney(section))
    .catch((problem) => fill(section, title, make("p", { class: "note bad", role: "alert" }, refusal(problem))))
    .then(() => location.hash === "#money" && section.scrollIntoView());
  return section;
}

async function begin() {
  const seller = await currentUser();
  if (!seller) {
    toSignIn();
    return;
  }
  let page = await get(`/users/${seller.id}/tickets?limit=20`);
  listings.append(...page.items.map(row));
  let key = newKey();
  const offer = make("details", { open: page.items.length === 0 }, make("summary", {}, "List tickets"),
    listingForm(null, "List them", (wanted) => post("/tickets", wanted, key), (made, form) => {
      key = newKey();
      listings.prepend(row(made));
      form.reset();
      announce("They are listed");
      keepLive();
    }));
  const imported = make("details", {}, make("summary", {}, "Import a CSV file"));
  imported.addEventListener("toggle", async () => {
    const { importForm } = await import("./import.js");
    imported.append(importForm((made) => {
      // What was listed by this file before is there already.
      const fresh = made.filter(({ id }) => !one(`[data-ticket="${id}"]`, listings));
      listings.prepend(...fresh.map(row));
      keepLive();
    }));
  }, { once: true });
  // What is changed in the form is another listing.
  offer.addEventListener("input", () => { key = newKey(); });
  const more = make("button", { class: "button quiet", type: "button", onclick: async () => {
    page = await get(`/users/${seller.id}/tickets?limit=20&cursor=${encodeURIComponent(page.next_cursor)}`);
    listings.append(...page.items.map(row));
    more.hidden = !page.next_cursor;
    keepLive();
  } }, "Older listings");
  more.hidden = !page.next_cursor;
  fill(content, make("div", {}, offer, imported), moneySection(page.items), make("h2", {}, "Your listings"), page.items.length === 0 && make("p", { class: "found" }, "What you list is here, with every ticket sold as it is sold."), listings, make("p", { class: "more" }, more));
  keepLive();
}

fillOwn(content, begin);
