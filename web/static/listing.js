// One listing: its state live, the heart, and ordering.

import { announce, busily, one, trouble } from "./dom.js";
import { get, newKey, post, remove, toSignIn } from "./api.js";
import { name } from "./session.js";
import { show, watch } from "./live.js";
import { count, money, refusal } from "./words.js";

const offer = one(".offer");
const id = offer.dataset.ticket;
const form = one("#order");
const quantity = one("#quantity");
const button = one("button[type=submit]", form);
const wrong = one("#trouble");
const heart = one("#heart");
const MOST = 100;

let available = Number(one("[data-left]").textContent.replace(/\D/g, "")) || 0;
let key = newKey();

function total() {
  const each = { amount: Number(offer.dataset.amount), currency: offer.dataset.currency };
  const wanted = Number(quantity.value) || 0;
  one("[data-total]").textContent = money({ ...each, amount: each.amount * wanted });
}

function refresh() {
  const isOpen = offer.dataset.status === "open" && available > 0;
  form.hidden = !isOpen;
  quantity.max = Math.min(available, MOST);
  total();
}

watch([id], (listing) => {
  const before = available;
  available = listing.available;
  if (show(offer, listing) && before !== available) {
    announce(available ? `${count(available)} available now` : "None is available now");
  }
  refresh();
});

quantity.value = new URLSearchParams(location.search).get("quantity") ?? quantity.value;
quantity.addEventListener("input", () => { key = newKey(); total(); });
form.addEventListener("click", (event) => {
  const step = Number(event.target.dataset?.step);
  if (!step) return;
  quantity.value = Math.min(Number(quantity.max), Math.max(1, (Number(quantity.value) || 1) + step));
  quantity.dispatchEvent(new Event("input"));
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (name() === null) {
    toSignIn(`/tickets/${id}?quantity=${quantity.value}`);
    return;
  }
  busily(button, async () => {
    trouble(wrong);
    try {
      const order = await post("/orders", { items: [{ ticket_id: id, quantity: Number(quantity.value) }] }, key);
      location.assign(`/orders/${order.id}`);
    } catch (problem) {
      key = newKey();
      if (problem.code === "unauthenticated") toSignIn(`/tickets/${id}?quantity=${quantity.value}`);
      else trouble(wrong, refusal(problem));
    }
  });
});

// The heart ------------------------------------------------------------------------------------------------------------

function collected(is) {
  heart.setAttribute("aria-pressed", String(is));
  one("span", heart).textContent = is ? "Collected" : "Collect";
  one("#collection").hidden = !is;
}

heart.addEventListener("click", () => {
  if (name() === null) {
    toSignIn();
    return;
  }
  busily(heart, async () => {
    const was = heart.getAttribute("aria-pressed") === "true";
    collected(!was);
    try {
      if (was) await remove(`/collection/${id}`);
      else await post("/collection", { ticket_id: id });
    } catch (problem) {
      collected(was);
      trouble(wrong, refusal(problem));
    }
  });
});

async function findHeart() {
  heart.hidden = false;
  if (name() === null) return;
  try {
    const { items } = await get("/collection?limit=100");
    collected(items.some((one) => one.id === id));
  } catch {
    // The heart is then empty; pressing it collects, which changes nothing if it was collected.
  }
}

refresh();
findHeart();
