// Listings that change while one looks at them.

import { availability, count, money } from "./words.js";
import { one } from "./dom.js";

const AGAIN_MS = 10_000;

/** Calls back with each listing that changes. Returns a function that ends it. */
export function watch(ids, changed) {
  let source = null;
  let timer = 0;
  const url = ids.length === 1 ? `/api/tickets/${ids[0]}/live` : `/api/tickets/live?ids=${ids.join(",")}`;

  const open = () => {
    clearTimeout(timer);
    if (source || document.hidden || ids.length === 0) return;
    source = new EventSource(url);
    source.addEventListener("listings", (event) => JSON.parse(event.data).items.forEach(changed));
    source.addEventListener("error", () => {
      // After a refusal (503) a browser gives up for good; everybody else comes again by itself.
      if (source?.readyState === EventSource.CLOSED) {
        close();
        timer = setTimeout(open, AGAIN_MS * (0.5 + Math.random()));
      }
    });
  };
  const close = () => {
    clearTimeout(timer);
    source?.close();
    source = null;
  };
  const turn = () => (document.hidden ? close() : open());

  document.addEventListener("visibilitychange", turn);
  addEventListener("pagehide", close);
  addEventListener("pageshow", open);
  open();
  return () => {
    close();
    document.removeEventListener("visibilitychange", turn);
    removeEventListener("pagehide", close);
    removeEventListener("pageshow", open);
  };
}

/** Puts a listing's state where the server put the one before. */
export function show(element, listing) {
  if (Number(element.dataset.version) >= listing.version) return false;
  element.dataset.version = listing.version;
  element.dataset.status = listing.status;
  element.dataset.amount = listing.price.amount;
  element.dataset.currency = listing.price.currency;
  const put = (selector, text) => {
    const place = one(selector, element);
    if (place && place.textContent !== text) {
      place.textContent = text;
      place.classList.remove("fresh");
      void place.offsetWidth; // so that the colour fades anew
      place.classList.add("fresh");
    }
  };
  put("[data-price]", money(listing.price));
  put("[data-left]", availability(listing));
  put("[data-sold]", count(listing.sold));
  put("[data-held]", count(listing.held));
  const meter = one("[data-meter]", element);
  if (meter) {
    const sold = (100 * listing.sold) / listing.quantity;
    one(".sold", meter).setAttribute("width", sold);
    one(".held", meter).setAttribute("x", sold);
    one(".held", meter).setAttribute("width", (100 * listing.held) / listing.quantity);
  }
  return true;
}
