// The links of letters: `#verify=` and `#reset=`. The token leaves the address bar before anything else happens.

import { announce, busily, fill, make, one, trouble } from "./dom.js";
import { Problem, post } from "./api.js";
import { refusal } from "./words.js";

export function follow() {
  const [, kind, token] = /^#(verify|reset)=(.*)$/.exec(location.hash);
  history.replaceState(null, "", location.pathname);
  if (kind === "verify") verify(token);
  else reset(token);
}

function show(title, ...children) {
  const heading = make("h1", { tabindex: "-1" }, title);
  fill(one("#main"), make("section", { class: "narrow" }, heading, ...children));
  heading.focus();
  announce(title);
}

async function verify(token) {
  try {
    await post("/users/verify-email", { token });
    show("Your address is verified", make("p", { class: "lead" }, "Thank you. Everything is open to you."), toListings());
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    show("That did not work", make("p", { class: "lead" }, refusal(problem)), make("p", {}, make("a", { class: "button quiet", href: "/account" }, "Send me a new link")));
  }
}

const toListings = () => make("p", {}, make("a", { class: "button", href: "/" }, "To the listings"));

function reset(token) {
  const wrong = make("p", { class: "note bad", role: "alert", hidden: true });
  const password = make("input", { id: "new-password", type: "password", autocomplete: "new-password", required: true, minlength: 8 });
  const button = make("button", { class: "button big", type: "submit" }, "Keep this password");
  const form = make("form", { class: "stack", onsubmit: (event) => {
    event.preventDefault();
    busily(button, async () => {
      try {
        await post("/users/password-reset/confirm", { token, password: password.value });
        show("Your password is changed", make("p", { class: "lead" }, "Wherever you were signed in, you are signed out."), make("p", {}, make("a", { class: "button", href: "/signin" }, "Sign in")));
      } catch (problem) {
        trouble(wrong, refusal(problem));
      }
    });
  } },
  make("div", { class: "field" }, make("label", { for: "new-password" }, "New password"), password), wrong, button);
  show("Choose a new password", form);
  password.focus();
}
