// One's own account.

import { busily, fill, make, one, trouble } from "./dom.js";
import { get, patch, post, signOut, toSignIn } from "./api.js";
import { greetAs, name } from "./session.js";
import { refusal } from "./words.js";

const content = one("#content");

function field(id, label, properties) {
  return make("div", { class: "field" }, make("label", { for: id }, label), make("input", { id, name: id, ...properties }));
}

/** A form whose values are sent; what came of it is said below. */
function form(title, button, fields, send, done) {
  const said = make("p", { class: "note", role: "alert", hidden: true });
  const submit = make("button", { class: "button quiet", type: "submit" }, button);
  const element = make("form", { class: "stack", onsubmit: (event) => {
    event.preventDefault();
    busily(submit, async () => {
      said.classList.remove("bad");
      try {
        await send(Object.fromEntries(new FormData(element)));
        trouble(said, done);
      } catch (problem) {
        said.classList.add("bad");
        trouble(said, refusal(problem));
      }
    });
  } }, make("h2", {}, title), ...fields, said, submit);
  return element;
}

async function show() {
  const { currentUser: user } = await get("/users/currentuser");
  if (user === null) {
    toSignIn();
    return;
  }
  const out = make("button", { class: "button quiet", type: "button", onclick: () => busily(out, async () => {
    await signOut();
    location.assign("/");
  }) }, "Sign out");
  fill(content, make("div", { class: "narrow sections" },
    make("p", { class: "lead" }, user.email, user.email_verified ? " (verified)" : ""),
    !user.email_verified && form("Verify your address", "Send me the link again", [], () => post("/users/verification"), "The letter is on its way."),
    form("Name", "Keep this name", [field("name", "Name", { value: user.name, required: true, maxlength: 200, autocomplete: "name" })], async (values) => greetAs((await patch("/users/currentuser", values)).currentUser), "Done."),
    form("Password", "Change the password", [
      field("current_password", "The password you have", { type: "password", required: true, autocomplete: "current-password" }),
      field("password", "The new one", { type: "password", required: true, minlength: 8, autocomplete: "new-password" }),
    ], (values) => patch("/users/currentuser", values), "Your password is changed."),
    make("p", { class: "buttons" }, make("a", { class: "button quiet", href: "/collection" }, "What I collected"), out)));
}

if (name() === null) toSignIn();
else show().catch((problem) => fill(content, make("p", { class: "note bad", role: "alert" }, refusal(problem))));
