// The listings one has collected, with their counts live.

import { all, announce, fill, make, one } from "./dom.js";
import { fillOwn, get, remove } from "./api.js";
import { show, watch } from "./live.js";
import { availability, localise, money, shortTime } from "./words.js";

const content = one("#content");
const list = make("ol", { class: "listings" });
let unwatch = () => {};

function row(listing) {
  const { event } = listing;
  const item = make("li", {}, make("article", { class: "listing", "data-ticket": listing.id, "data-version": listing.version, "data-status": listing.status },
    make("time", { class: "leaf", datetime: event.starts_at, "data-leaf": true }, make("span", { class: "month" }), make("span", { class: "day" }), make("span", { class: "year" })),
    make("div", { class: "what" },
      make("h2", {}, make("a", { href: `/tickets/${listing.id}` }, listing.title)),
      make("p", { class: "where" }, make("span", {}, event.name), make("span", {}, event.venue), make("time", { datetime: event.starts_at }, shortTime(event.starts_at)))),
    make("div", { class: "terms" },
      make("p", { class: "price", "data-price": true }, money(listing.price)),
      make("p", { class: "left", "data-left": true }, availability(listing)),
      make("button", { class: "button quiet small", type: "button", "aria-label": `Drop ${listing.title}`, onclick: async () => {
        await remove(`/collection/${listing.id}`);
        item.remove();
        announce(`${listing.title} is dropped`);
        if (!list.children.length) showNothing();
      } }, "Drop"))));
  return item;
}

const showNothing = () => fill(content, make("p", { class: "lead" }, "Nothing collected. Press the heart on a listing, and it is here."), make("p", {}, make("a", { class: "button", href: "/" }, "Find your seat")));

function keepLive() {
  unwatch();
  const shown = new Map(all("[data-ticket]", list).map((element) => [element.dataset.ticket, element]));
  unwatch = watch([...shown.keys()].slice(0, 50), (listing) => show(shown.get(listing.id), listing));
}

async function begin() {
  let page = await get("/collection?limit=50");
  if (page.items.length === 0) {
    showNothing();
    return;
  }
  const add = () => {
    list.append(...page.items.map(row));
    localise(list);
    keepLive();
  };
  const more = make("button", { class: "button quiet", type: "button", onclick: async () => {
    page = await get(`/collection?limit=50&cursor=${encodeURIComponent(page.next_cursor)}`);
    add();
    more.hidden = !page.next_cursor;
  } }, "More");
  more.hidden = !page.next_cursor;
  add();
  fill(content, list, make("p", { class: "more" }, more));
}

fillOwn(content, begin);
