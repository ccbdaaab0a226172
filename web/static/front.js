// The front page: results while one types, counts that stay true.

import { all, announce, one } from "./dom.js";
import { show, watch } from "./live.js";
import { localise } from "./words.js";

const TYPING_MS = 180;

const form = one("#search");
let underWay = null;
let timer = 0;
let unwatch = () => {};

function keepLive() {
  unwatch();
  const shown = new Map(all("[data-ticket]").map((element) => [element.dataset.ticket, element]));
  unwatch = watch([...shown.keys()].slice(0, 50), (listing) => show(shown.get(listing.id), listing));
}

function address() {
  const asked = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value.trim() && !(name === "sort" && value === "starts_at")) asked.set(name, value.trim());
  return asked.size ? `/?${asked}` : "/";
}

async function fetched(url) {
  underWay?.abort();
  underWay = new AbortController();
  const response = await fetch(url, { signal: underWay.signal });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  localise(page);
  return page;
}

async function search() {
  const url = address();
  try {
    const page = await fetched(url);
    one("#results").replaceWith(one("#results", page));
    for (const id of ["categories", "venues"]) one(`#${id}`).replaceWith(one(`#${id}`, page));
    history.replaceState(null, "", url);
    announce(one("#found").textContent.trim());
    keepLive();
  } catch (error) {
    if (error.name !== "AbortError") form.submit();
  }
}

form.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(search, TYPING_MS);
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(timer);
  search();
});

document.addEventListener("click", async (event) => {
  const more = event.target.closest("a[rel=next]");
  if (!more || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  try {
    const page = await fetched(more.href);
    const fresh = all(".listings > li", page);
    one(".listings").append(...fresh);
    const next = one("a[rel=next]", page);
    if (next) more.replaceWith(next);
    else more.parentElement.remove();
    announce(`${fresh.length} more listings`);
    one("a", fresh[0])?.focus();
    keepLive();
  } catch (error) {
    if (error.name !== "AbortError") location.assign(more.href);
  }
});

keepLive();
