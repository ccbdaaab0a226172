// Calls of the API.

import { fill, make } from "./dom.js";
import { forget, name, remember, sessionHeaders, token, user } from "./session.js";
import { refusal } from "./words.js";

/** What the API refused, with its `code`; status 0: it was not reached. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail ?? "");
    Object.assign(this, { code: "unreachable", detail: "", errors: [], ...body, status });
  }
}

const UNREACHED = { detail: "The house cannot be reached. Are you online?" };

/** A key under which a request is done once, however often it is sent. */
export function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function send(method, path, { body, key, access, session }) {
  const headers = session ? { ...sessionHeaders } : {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  if (access) headers.Authorization = `Bearer ${access}`;
  try {
    return await fetch(`/api${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Problem(0, UNREACHED);
  }
}

async function read(response) {
  const text = await response.text();
  let body = null;
  try {
    body = text ? JSON.parse(text) : null;
  } catch {
    throw new Problem(response.status, {});
  }
  if (!response.ok) throw new Problem(response.status, body ?? {});
  // The house's clock, as far as a header tells: the buyer's may be wrong.
  return { body, now: Date.parse(response.headers.get("Date") ?? "") || Date.now() };
}

/** The answer's body and the house's time. Throws `Problem`. */
export async function ask(method, path, { body, key } = {}) {
  let access;
  try {
    access = await token();
  } catch {
    throw new Problem(0, UNREACHED);
  }
  let response = await send(method, path, { body, key, access });
  if (response.status === 401 && access) {
    access = await token({ anew: true });
    if (access) response = await send(method, path, { body, key, access });
  }
  return read(response);
}

export const get = async (path) => (await ask("GET", path)).body;
export const post = async (path, body, key) => (await ask("POST", path, { body, key })).body;
export const patch = async (path, body) => (await ask("PATCH", path, { body })).body;
export const remove = async (path) => (await ask("DELETE", path)).body;

/** A list's items, of so many pages of a hundred at most, and whether there are more. */
export async function listAll(path, pages) {
  const items = [];
  let cursor = "";
  for (let page = 0; page < pages && cursor !== null; page += 1) {
    const found = await get(`${path}?limit=100${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
    items.push(...found.items);
    cursor = found.next_cursor;
  }
  return { items, more: cursor !== null };
}

/** Who is signed in, asked of the API only where this tab does not know; null for nobody. */
export const currentUser = async () => user() ?? (await get("/users/currentuser")).currentUser;

/** Signs in or up; the refresh token comes as a cookie. */
export async function enter(path, body) {
  const { body: answer } = await read(await send("POST", path, { body, session: true }));
  remember(answer);
}

export async function signOut() {
  const access = await token();
  if (access) await read(await send("POST", "/users/signout", { access, session: true }));
  forget();
}

/** To the page where one signs in, and back here afterwards. */
export function toSignIn(back = location.pathname + location.search) {
  location.assign(`/signin?next=${encodeURIComponent(back)}`);
}

/** Fills a page that is somebody's own: who is not signed in is sent to do so, and what goes wrong is said in its place. */
export function fillOwn(content, begin) {
  if (name() === null) {
    toSignIn();
    return;
  }
  begin().catch((problem) => (problem.code === "unauthenticated" ? toSignIn() : fill(content, make("p", { class: "note bad", role: "alert" }, refusal(problem)))));
}
