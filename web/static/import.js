// Listings from a CSV file: what is wrong with which line is said before anything is listed. The columns are those of
// `stagedoor import` (cli/import_csv.py).

import { announce, busily, fill, make, trouble } from "./dom.js";
import { post } from "./api.js";
import { money, plural, refusal, shortTime } from "./words.js";

const NEEDED = ["title", "event_name", "starts_at", "venue", "amount", "currency", "quantity"];
const OPTIONAL = ["promoter", "category", "description", "hold_seconds", "refund_until", "refund_fee", "resell_returned"];
const WHOLE = ["amount", "quantity", "hold_seconds", "refund_fee"];
const TIMES = ["starts_at", "refund_until"];
const MOST_ROWS = 2_000; // a larger file is for `stagedoor import`, which goes on where it was interrupted
const MOST_BYTES = 2_000_000;
const SHOWN = 50; // lines of the preview
const TRIES = 5; // of one line, while the house is busy

/** The records of a CSV file (RFC 4180) with the line each begins on. */
export function records(text) {
  const found = [];
  let cells = [];
  let cell = "";
  let isQuoted = false;
  let line = 1;
  let begins = 1;
  const end = () => {
    cells.push(cell);
    if (cells.some((one) => one.trim())) found.push({ line: begins, cells });
    cells = [];
    cell = "";
  };
  for (let at = 0; at < text.length; at += 1) {
    const one = text[at];
    if (one === "\n") line += 1;
    if (isQuoted) {
      if (one !== '"') cell += one;
      else if (text[at + 1] === '"') {
        cell += '"';
        at += 1;
      } else isQuoted = false;
    } else if (one === '"' && cell === "") isQuoted = true;
    else if (one === ",") {
      cells.push(cell);
      cell = "";
    } else if (one === "\n") {
      end();
      begins = line;
    } else if (one !== "\r") cell += one;
  }
  end();
  return found;
}

/** What is wrong with the header; empty if nothing is. */
function headerFault(columns) {
  const unknown = columns.filter((column) => !NEEDED.includes(column) && !OPTIONAL.includes(column));
  const missing = NEEDED.filter((column) => !columns.includes(column));
  if (unknown.length) return `Unknown columns: ${unknown.join(", ")}. Expected: ${[...NEEDED, ...OPTIONAL].join(", ")}.`;
  if (missing.length) return `Missing columns: ${missing.join(", ")}.`;
  return new Set(columns).size < columns.length ? "A column is there twice." : "";
}

function faults(given) {
  const found = NEEDED.filter((column) => !given[column]).map((column) => `${column} is empty`);
  for (const column of WHOLE) {
    if (given[column] && !/^\d{1,15}$/.test(given[column])) found.push(`${column}: “${given[column]}” is no whole number${column === "amount" ? " of minor units (12.50 is 1250)" : ""}`);
  }
  for (const column of TIMES) {
    const time = given[column];
    if (time && !(/(Z|[+-]\d\d:\d\d)$/.test(time) && Date.parse(time))) found.push(`${column}: “${time}” is no time with its offset, as 2027-03-12T20:00:00+01:00`);
  }
  if (given.resell_returned && !["true", "false"].includes(given.resell_returned)) found.push(`resell_returned: “${given.resell_returned}” is neither true nor false`);
  if (given.currency && !/^[A-Z]{3}$/.test(given.currency)) found.push(`currency: “${given.currency}” is no code, as EUR`);
  return found;
}

function bodyOf(given) {
  const { title, event_name: name, starts_at, venue, promoter, category, amount, currency, quantity, description, hold_seconds: hold } = given;
  return { title, event: { name, starts_at, venue, promoter: promoter || null, category: category || null }, price: { amount: Number(amount), currency },
    quantity: Number(quantity), description: description || null, hold_seconds: hold ? Number(hold) : null, ...termsOf(given) };
}

/** What the file says of refunds; nothing where it says nothing. */
function termsOf({ refund_until: until, refund_fee: fee, resell_returned: resell }) {
  return { ...(until && { refund_until: until }), ...(fee && { refund_fee: Number(fee) }), ...(resell && { resell_returned: resell === "true" }) };
}

/** Every line as `{line, body}` or `{line, wrong}`. Throws an Error with the reason when the file is none. */
export function rows(text) {
  const [header, ...rest] = records(text.replace(/^\ufeff/, ""));
  if (!header) throw new Error("The file is empty; its first line must name the columns.");
  const columns = header.cells.map((cell) => cell.trim());
  const fault = headerFault(columns);
  if (fault) throw new Error(fault);
  if (rest.length > MOST_ROWS) throw new Error(`More than ${MOST_ROWS} lines; for such a file there is the command stagedoor import.`);
  return rest.map(({ line, cells }) => {
    if (cells.length !== columns.length) return { line, wrong: `${plural(cells.length, "cell")}, but ${plural(columns.length, "column")}` };
    const given = Object.fromEntries(columns.map((column, at) => [column, cells[at].trim()]));
    const wrong = faults(given);
    return wrong.length ? { line, wrong: wrong.join("; ") } : { line, body: bodyOf(given) };
  });
}

/** The same line of the same file makes one listing, however often it is imported. */
async function keyOf(body, earlier) {
  const text = JSON.stringify(body);
  const nth = (earlier.get(text) ?? 0) + 1;
  earlier.set(text, nth);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(`${nth}\n${text}`)));
  return `csv-${[...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

async function list(body, key) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await post("/tickets", body, key);
    } catch (problem) {
      const isBusy = [0, 429, 503].includes(problem.status);
      if (!isBusy || tries === TRIES) throw problem;
      await new Promise((done) => setTimeout(done, 1000 * tries));
    }
  }
}

function preview(found) {
  const bad = found.filter((row) => row.wrong);
  const shown = [...bad, ...found.filter((row) => row.body)].slice(0, SHOWN);
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Preview" }, make("table", {},
    make("caption", {}, `${plural(found.length, "line")}, ${bad.length ? `${bad.length} with something wrong, which are left out` : "all good"}`),
    make("thead", {}, make("tr", {}, ["Line", "What", "When", "Price", "How many"].map((text) => make("th", { scope: "col" }, text)))),
    make("tbody", {}, shown.map((row) => (row.wrong
      ? make("tr", { class: "bad" }, make("td", {}, String(row.line)), make("td", { colspan: 4 }, row.wrong))
      : make("tr", {}, make("td", {}, String(row.line)), make("td", {}, `${row.body.title}, ${row.body.event.name}`), make("td", {}, shortTime(row.body.event.starts_at)),
        make("td", {}, money(row.body.price)), make("td", {}, String(row.body.quantity))))))));
}

/** The form; `done` gets the listings that lines have become. */
export function importForm(done) {
  const wrong = make("p", { class: "note bad", role: "alert", hidden: true });
  const place = make("div", { class: "stack" });
  const input = make("input", { id: "csv", type: "file", accept: ".csv,text/csv", "aria-describedby": "csv-hint", onchange: async () => {
    trouble(wrong);
    fill(place);
    const [file] = input.files;
    if (!file) return;
    try {
      if (file.size > MOST_BYTES) throw new Error("This file is larger than 2 MB.");
      offer(rows(await file.text()));
    } catch (error) {
      trouble(wrong, error.message);
    }
  } });

  function offer(found) {
    const good = found.filter((row) => row.body);
    const button = make("button", { class: "button", type: "button", onclick: () => busily(button, () => importAll(good, button)) }, `List ${plural(good.length, "listing")}`);
    fill(place, preview(found), good.length > 0 && make("p", { class: "buttons" }, button));
    announce(`${plural(good.length, "line")} good, ${found.length - good.length} left out`);
  }

  async function importAll(good, button) {
    const earlier = new Map();
    const made = [];
    const refused = [];
    for (const [at, { line, body }] of good.entries()) {
      button.textContent = `${at + 1} of ${good.length} …`;
      try {
        made.push(await list(body, await keyOf(body, earlier)));
      } catch (problem) {
        refused.push({ line, wrong: refusal(problem) });
      }
    }
    fill(place, make("p", { class: "note", role: "status" }, `${plural(made.length, "line")} listed${refused.length ? `, ${refused.length} refused` : ""}.`), refused.length > 0 && preview(refused));
    input.value = "";
    done(made);
  }

  return make("div", { class: "stack import" },
    make("div", { class: "field" }, make("label", { for: "csv" }, "CSV file"), input),
    make("p", { class: "hint", id: "csv-hint" }, `The first line names the columns: ${NEEDED.join(", ")}; if you like ${OPTIONAL.join(", ")}. Amounts are in minor units. Nothing is listed before you have seen it; the same file twice lists once.`),
    wrong, place);
}
