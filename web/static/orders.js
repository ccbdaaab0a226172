// One's orders, newest first.

import { announce, fill, make, one } from "./dom.js";
import { fillOwn, get } from "./api.js";
import { money, plural, shortTime } from "./words.js";

const content = one("#content");

const STATUS = {
  created: "Held for you, not paid",
  awaiting_payment: "Held for you, not paid",
  completed: "Paid",
  cancelled: "Cancelled",
  expired: "Time ran out",
  refunded: "Refunded",
};

function row(order) {
  const isOpen = order.status === "created" || order.status === "awaiting_payment";
  const isLate = isOpen && Date.parse(order.expires_at) <= Date.now();
  const status = isLate ? "expired" : order.status;
  const tickets = order.items.reduce((sum, item) => sum + item.quantity, 0);
  return make("li", {}, make("article", { class: "listing order-row", "data-status": status },
    make("div", { class: "what" },
      make("h2", {}, make("a", { href: `/orders/${order.id}` }, order.items.map((item) => item.title).join(" + "))),
      make("p", { class: "where" }, make("span", {}, plural(tickets, "ticket")), make("time", { datetime: order.created_at }, shortTime(order.created_at)))),
    make("div", { class: "terms" },
      make("p", { class: "price" }, money(order.total)),
      make("p", { class: `status ${status}` }, STATUS[status]),
      isOpen && !isLate && make("p", {}, make("a", { class: "button small", href: `/orders/${order.id}` }, "Pay now")))));
}

async function show() {
  let page = await get("/orders?limit=20");
  if (page.items.length === 0) {
    fill(content, make("p", { class: "lead" }, "You have not ordered anything yet."), make("p", {}, make("a", { class: "button", href: "/" }, "Find your seat")));
    return;
  }
  const list = make("ol", { class: "listings" }, page.items.map(row));
  const more = make("button", { class: "button quiet", type: "button", onclick: async () => {
    page = await get(`/orders?limit=20&cursor=${encodeURIComponent(page.next_cursor)}`);
    list.append(...page.items.map(row));
    announce(`${page.items.length} more orders`);
    more.hidden = !page.next_cursor;
  } }, "Older orders");
  more.hidden = !page.next_cursor;
  fill(content, list, make("p", { class: "more" }, more));
}

fillOwn(content, show);
