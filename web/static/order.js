// One order: what was ordered, how long it is held, paying for it, and what became of it.

import { announce, busily, fill, make, makeSvg, one, trouble } from "./dom.js";
import { ask, post, remove, toSignIn } from "./api.js";
import { name } from "./session.js";
import { clock, decline, longTime, money, plural, refusal } from "./words.js";

const id = location.pathname.split("/")[2];
const content = one("#content");
const title = one("#order-title");
const cardForm = one("meta[name=stagedoor-card-form]");

const LOOKS = 40; // after paying, or past the deadline, the order is looked at so often …
const LOOK_MS = 500; // … this far apart, until it says so itself
const SAID_AT = [300, 60]; // seconds left that are worth saying aloud

const ENDINGS = {
  completed: ["Paid. They are yours", "Your tickets are ready: bring the codes, on your phone or on paper."],
  expired: ["Time ran out", "The tickets were held for you until the deadline and are now open to others. Nothing was charged; money that still arrives goes back by itself."],
  cancelled: ["You cancelled this order", "The tickets are open to others. Nothing was charged."],
  refunded: ["Refunded", "The money is on its way back to the card you paid with. The codes of these tickets are good no more."],
};

let skewMs = 0; // the house's clock minus this one

const isOpen = (order) => order.status === "created" || order.status === "awaiting_payment";
const secondsLeft = (order) => (Date.parse(order.expires_at) - Date.now() - skewMs) / 1000;
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/** The order as it is, from the log: who has paid is told so, however far lists are behind. */
async function look() {
  const { body, now } = await ask("GET", `/orders/${id}?as_of=2999-12-31T23:59:59Z`);
  // The header tells whole seconds: the middle of that second is the best guess.
  skewMs = now + 500 - Date.now();
  if (Math.abs(skewMs) < 1500) skewMs = 0;
  return body;
}

function summary(order) {
  return make("section", { class: "summary", "aria-labelledby": "summary-title" },
    make("h2", { id: "summary-title" }, "What you ordered"),
    make("ul", { class: "items" }, order.items.map((item) => make("li", {},
      make("span", {}, make("b", {}, String(item.quantity)), " × ", make("a", { href: `/tickets/${item.ticket_id}` }, item.title)),
      make("span", { class: "amount" }, money({ ...item.price, amount: item.price.amount * item.quantity }))))),
    make("p", { class: "sum" }, make("span", {}, "Total"), make("span", { class: "amount" }, money(order.total))),
    make("p", { class: "hint" }, `Ordered ${longTime(order.created_at)}`));
}

// An order that is over ------------------------------------------------------------------------------------------------

function showEnding(order) {
  const [heading, text] = ENDINGS[order.status];
  title.textContent = heading;
  const again = order.status === "expired" || order.status === "cancelled";
  fill(content, make("div", { class: "columns" },
    make("section", { class: `ending ${order.status}` },
      make("p", { class: "lead" }, text),
      make("p", { class: "buttons" },
        order.status === "completed" && make("a", { class: "button big", href: `/my-tickets?order=${id}` }, "Show my tickets"),
        again && make("a", { class: "button", href: `/tickets/${order.items[0].ticket_id}` }, "Look at the listing again"),
        make("a", { class: "button quiet", href: "/orders" }, "All orders"))),
    summary(order)));
  announce(heading);
}

async function showWhenOver(order) {
  let seen = order;
  for (let looks = 0; isOpen(seen) && looks < LOOKS; looks += 1) {
    await pause(LOOK_MS);
    seen = await look();
  }
  if (isOpen(seen)) seen = { ...seen, status: secondsLeft(seen) <= 0 ? "expired" : seen.status };
  if (isOpen(seen)) showOpen(seen);
  else showEnding(seen);
}

// An order that waits for its money ------------------------------------------------------------------------------------

function countdown(order, over) {
  const whole = (Date.parse(order.expires_at) - Date.parse(order.created_at)) / 1000;
  const time = make("span", { class: "clock", role: "timer", "aria-label": "Time left to pay" });
  const bar = makeSvg("rect", { class: "left", x: 0, y: 0, height: 4, width: 100 });
  const element = make("div", { class: "countdown" },
    make("p", {}, "Held for you for another ", time),
    makeSvg("svg", { viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true", focusable: "false" }, bar));
  let before = Infinity;
  const turn = () => {
    const left = secondsLeft(order);
    time.textContent = clock(left);
    bar.setAttribute("width", Math.max(0, Math.min(100, (100 * left) / whole)));
    element.classList.toggle("soon", left <= SAID_AT.at(-1));
    for (const mark of SAID_AT) if (before > mark && left <= mark && before !== Infinity) announce(`${plural(mark / 60, "minute")} left to pay`);
    before = left;
    if (left <= 0) {
      clearInterval(timer);
      over();
    }
  };
  const timer = setInterval(turn, 250);
  turn();
  return { element, stop: () => clearInterval(timer) };
}

function loadScript(url) {
  return new Promise((loaded, failed) => document.head.append(make("script", { src: url, onload: loaded, onerror: () => failed(new Error(url)) })));
}

/** Stripe's card form, or the sandbox's double of it. Throws `Problem`, or an error when its script does not come. */
async function mountCard(place) {
  const payment = await post("/payments", { order_id: id });
  if (payment.status === "succeeded") return null;
  await loadScript(cardForm.content);
  const stripe = window.Stripe(cardForm.dataset.key);
  const theme = matchMedia("(prefers-color-scheme: dark)").matches ? "night" : "stripe";
  const elements = stripe.elements({ clientSecret: payment.client_secret, appearance: { theme } });
  elements.create("payment").mount(place);
  return () => stripe.confirmPayment({ elements, confirmParams: { return_url: location.origin + location.pathname }, redirect: "if_required" });
}

function showOpen(order) {
  title.textContent = "Pay for your tickets";
  const wrong = make("p", { class: "note bad", role: "alert", hidden: true });
  const place = make("div", { id: "card", "aria-busy": "true" }, make("p", { class: "found" }, "The card form is on its way …"));
  const pay = make("button", { class: "button big", type: "submit", "aria-disabled": "true" }, `Pay ${money(order.total)}`);
  const giveUp = make("button", { class: "button quiet", type: "button" }, "Cancel the order");
  let confirm = null;

  const over = () => {
    fill(content, make("p", { class: "found" }, "One moment …"));
    showWhenOver(order).catch(fail);
  };
  const { element: timer, stop } = countdown(order, over);
  const leave = () => {
    stop();
    over();
  };
  const paid = () => {
    stop();
    showEnding({ ...order, status: "completed" });
  };
  /** The house asks Stripe itself, rather than wait until Stripe tells it; its answer is ahead of every list. */
  const settle = async () => {
    const payment = await post("/payments", { order_id: id }).catch(() => null);
    if (payment?.status === "succeeded") paid();
    else leave();
  };

  const form = make("form", { class: "stack pay", onsubmit: (event) => {
    event.preventDefault();
    if (!confirm) return;
    busily(pay, async () => {
      trouble(wrong);
      pay.textContent = "Asking your bank …";
      try {
        const { error } = await confirm();
        if (error) trouble(wrong, decline(error));
        else await settle();
      } catch {
        trouble(wrong, "The payment provider cannot be reached. You were not charged; try again in a moment.");
      } finally {
        pay.textContent = `Pay ${money(order.total)}`;
      }
    });
  } },
  make("h2", {}, "Your card"),
  cardForm.dataset.test && make("p", { class: "note" }, "This house is in test mode. No real money moves here."),
  place, wrong, pay);

  giveUp.addEventListener("click", () => busily(giveUp, async () => {
    try {
      const cancelled = await remove(`/orders/${id}`);
      stop();
      showEnding(cancelled);
    } catch (problem) {
      trouble(wrong, refusal(problem));
      if (problem.code === "order_not_open") leave();
    }
  }));

  fill(content, make("div", { class: "columns" },
    make("div", { class: "stack" }, timer, cardForm.content ? form : make("p", { class: "note bad" }, "Cards cannot be taken here yet: the house has set up no card form.")),
    make("div", { class: "stack" }, summary(order), giveUp)));

  if (!cardForm.content) return;
  mountCard(place).then((confirms) => {
    place.removeAttribute("aria-busy");
    if (confirms === null) paid();
    else {
      confirm = confirms;
      pay.removeAttribute("aria-disabled");
    }
  }).catch((problem) => {
    fill(place);
    trouble(wrong, problem.code ? refusal(problem) : "The card form did not load. Are you online? Reload the page to try again.");
    if (problem.code === "order_not_open") leave();
  });
}

function fail(problem) {
  if (problem.code === "unauthenticated") toSignIn();
  else fill(content, make("p", { class: "note bad", role: "alert" }, refusal(problem)), make("p", {}, make("a", { class: "button quiet", href: "/orders" }, "All orders")));
}

async function begin() {
  // Back from a bank's own page, Stripe has added what came of it: the house finds out, and the address is tidied.
  if (new URLSearchParams(location.search).has("payment_intent")) {
    await post("/payments", { order_id: id }).catch(() => null);
    history.replaceState(null, "", location.pathname);
  }
  const order = await look();
  if (!isOpen(order)) showEnding(order);
  else if (secondsLeft(order) <= 0) await showWhenOver(order);
  else showOpen(order);
}

if (name() === null) toSignIn();
else begin().catch(fail);
