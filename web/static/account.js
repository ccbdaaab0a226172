// Signing in, signing up, and a link for who has forgotten the password.

import { busily, make, one, trouble } from "./dom.js";
import { enter, post } from "./api.js";
import { refusal } from "./words.js";

const page = one("#account-page");
const form = one("#account-form");
const wrong = one("#trouble");
form.hidden = false;

/** Where to go on: a page of the house, whatever the address says. */
function next() {
  const asked = new URL(new URLSearchParams(location.search).get("next") ?? "/", location.origin);
  return asked.origin === location.origin ? asked.pathname + asked.search : "/";
}

for (const link of document.querySelectorAll("[data-keep-next]")) link.search = location.search;

form.addEventListener("submit", (event) => {
  event.preventDefault();
  busily(one("button", form), async () => {
    trouble(wrong);
    try {
      await enter(page.dataset.mode === "signup" ? "/users/signup" : "/users/signin", Object.fromEntries(new FormData(form)));
      location.replace(next());
    } catch (problem) {
      trouble(wrong, refusal(problem));
      one("#password").select();
    }
  });
});

const forgot = one("#forgot");
forgot?.addEventListener("submit", (event) => {
  event.preventDefault();
  busily(one("button", forgot), async () => {
    try {
      await post("/users/password-reset", Object.fromEntries(new FormData(forgot)));
      forgot.replaceWith(make("p", { class: "note", role: "status" }, "If there is such an account, a link is on its way."));
    } catch (problem) {
      forgot.append(make("p", { class: "note bad", role: "alert" }, refusal(problem)));
    }
  });
});
