// Who is signed in. The refresh token is in a cookie that no script can read; here is only the access token of ten
// minutes, kept for this tab, and the name to greet with.

const TOKEN = "stagedoor.access";
const NAME = "stagedoor.name";
const EARLY_SECONDS = 30;

const HEADERS = { "Content-Type": "application/json", "X-Stagedoor-Session": "cookie" };

let changed = () => {};

/** Calls back when somebody signs in or out, in this tab or in another one. */
export function onChange(listener) {
  changed = listener;
  addEventListener("storage", (event) => {
    if (event.key === NAME) {
      // Somebody has signed out, or somebody else in: what this tab has is nobody's any more.
      sessionStorage.removeItem(TOKEN);
      listener();
    }
  });
}

/** The name of who is signed in; null for nobody. */
export const name = () => localStorage.getItem(NAME)?.replace(/^\S+ /, "") ?? null;

/** Takes down what signing in or refreshing was answered. */
export function remember(answer) {
  const until = Date.now() + (answer.expires_in - EARLY_SECONDS) * 1000;
  sessionStorage.setItem(TOKEN, JSON.stringify({ token: answer.access_token, until, user: answer.user }));
  greetAs(answer.user);
}

/** The account's name, here and in the other tabs; with its id, so that another account of the same name is another. */
export function greetAs(user) {
  localStorage.setItem(NAME, `${user.id} ${user.name}`);
  changed();
}

export function forget() {
  sessionStorage.removeItem(TOKEN);
  localStorage.removeItem(NAME);
  changed();
}

function stored() {
  try {
    return JSON.parse(sessionStorage.getItem(TOKEN));
  } catch {
    return null;
  }
}

/** The account, as far as this tab knows it. */
export const user = () => stored()?.user ?? null;

/** A good access token; null if nobody is signed in. `anew`: the one there is was refused. */
export async function token({ anew = false } = {}) {
  if (name() === null) return null;
  const has = stored();
  if (has && has.until > Date.now() && !anew) return has.token;
  // One tab at a time: a refresh token that is used twice ends the session.
  if (!navigator.locks) return refreshed(has?.token);
  return navigator.locks.request("stagedoor-session", () => refreshed(has?.token));
}

async function refreshed(before) {
  const has = stored();
  if (has && has.token !== before && has.until > Date.now()) return has.token;
  // `keepalive`: should the page be left meanwhile, the new cookie arrives all the same.
  const response = await fetch("/api/users/refresh", { method: "POST", headers: HEADERS, body: "{}", keepalive: true });
  if (response.status === 401) {
    forget();
    return null;
  }
  if (!response.ok) throw new Error("the session cannot be refreshed");
  remember(await response.json());
  return stored().token;
}

export const sessionHeaders = HEADERS;
