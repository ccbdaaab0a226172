// On every page: who is signed in, times in the reader's own zone, and the links of letters.

import { one } from "./dom.js";
import { name, onChange } from "./session.js";
import { localise } from "./words.js";

function greet() {
  const who = name();
  const account = one("#account");
  account.textContent = who ?? "Sign in";
  account.href = who === null ? "/signin" : "/account";
  account.title = who === null ? "" : "Your account";
}

onChange(greet);
greet();
localise();

async function followLetter() {
  if (!/^#(verify|reset)=/.test(location.hash)) return;
  const { follow } = await import("./letters.js");
  follow();
}

addEventListener("hashchange", followLetter);
followLetter();
