// At the door: a code is scanned or typed, and lets one person in.

import { announce, busily, fill, make, one } from "./dom.js";
import { currentUser, fillOwn, listAll, newKey, post, toSignIn } from "./api.js";
import { count, longTime, refusal, shortTime } from "./words.js";

const content = one("#content");

const GATE = "stagedoor.gate";
const PAGES = 5; // of a hundred listings each
const MOST_LISTINGS = 100; // of one door, as the API takes them
const OVER_MS = 24 * 3600 * 1000; // an event is kept for so long after it has begun
const LOOK_MS = 150; // between two looks through the camera
const SAME_MS = 4_000; // a code that stays before the camera is shown once
const SHOWN = 20;

const VERDICTS = {
  ticket_used: "Used before",
  ticket_void: "Not good any more",
  wrong_door: "For something else",
  bad_ticket_code: "Not a ticket",
  order_not_found: "Not your ticket to let in",
};

const DETAILS = {
  bad_ticket_code: "It is mistyped, or not of this house. Try to scan it, or type the short code below it.",
  order_not_found: "It is of another seller, or there is no such order.",
  ticket_void: "It was refunded.",
};

const when = (checkedIn) => `${longTime(checkedIn.at)}${checkedIn.gate ? `, ${checkedIn.gate}` : ""}`;

function verdict(good, heading, ...details) {
  return make("div", { class: `verdict ${good ? "good" : "bad"}` },
    make("p", { class: "said" }, heading), details.filter(Boolean).map((text) => make("p", {}, text)));
}

/** What to tell of a refusal; null: it was not decided, and may be asked again. */
function refused(problem) {
  const heading = VERDICTS[problem.code];
  if (!heading) return null;
  return verdict(false, heading, problem.checked_in ? when(problem.checked_in) : (DETAILS[problem.code] ?? problem.detail));
}

/** The events of one's listings that are not over: what each door may be for. */
async function events(id) {
  const found = new Map();
  for (const { id: ticket, event } of (await listAll(`/users/${id}/tickets`, PAGES)).items) {
    const key = JSON.stringify([event.name, event.venue, event.starts_at]);
    if (Date.parse(event.starts_at) > Date.now() - OVER_MS) found.set(key, { event, tickets: [...(found.get(key)?.tickets ?? []), ticket] });
  }
  return [...found.values()].filter(({ tickets }) => tickets.length <= MOST_LISTINGS).sort((a, b) => a.event.starts_at.localeCompare(b.event.starts_at));
}

// The camera -----------------------------------------------------------------------------------------------------------

/** Calls back with each code it sees, until it is stopped. Throws where the camera may not be used. */
async function scanner(video, seen) {
  const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  video.srcObject = stream;
  await video.play();
  const detector = new BarcodeDetector({ formats: ["qr_code"] });
  let isOn = true;
  let before = { text: "", at: 0 };
  const look = async () => {
    // A picture that is not there yet is no reason to stop.
    const found = await detector.detect(video).catch(() => []);
    for (const { rawValue: text } of found.slice(0, 1)) {
      if (text !== before.text || Date.now() - before.at > SAME_MS) await seen(text);
      before = { text, at: Date.now() };
    }
    if (isOn) setTimeout(look, LOOK_MS);
  };
  look();
  return () => {
    isOn = false;
    for (const track of stream.getTracks()) track.stop();
    video.srcObject = null;
  };
}

async function canScan() {
  if (!("BarcodeDetector" in window) || !navigator.mediaDevices) return false;
  return (await BarcodeDetector.getSupportedFormats().catch(() => [])).includes("qr_code");
}

// The page -------------------------------------------------------------------------------------------------------------

/** Puts what there is to choose into the list of doors. */
async function fillDoors(door, doors) {
  const seller = await currentUser();
  if (!seller) {
    toSignIn();
    return;
  }
  doors.push(...(await events(seller.id)));
  door.append(...doors.map(({ event }, at) => make("option", { value: at }, `${event.name}, ${event.venue}, ${shortTime(event.starts_at)}`)));
}

async function begin() {
  const doors = [];
  const door = make("select", { id: "door" }, make("option", { value: "" }, "Everything I may let in"));
  const gate = make("input", { id: "gate", maxlength: 60, autocomplete: "off", placeholder: "Gate A", value: localStorage.getItem(GATE) ?? "" });
  gate.addEventListener("input", () => localStorage.setItem(GATE, gate.value.trim()));
  const code = make("input", { id: "code", required: true, maxlength: 300, autocomplete: "off", autocapitalize: "characters", spellcheck: "false", placeholder: "K7QM-4P2X-9DHJ" });
  const button = make("button", { class: "button big", type: "submit" }, "Check in");
  const outcome = make("div", { class: "outcome" });
  const before = make("ol", { class: "timeline" });
  const tally = make("p", { class: "hint" }, "Nobody yet at this door.");
  let letIn = 0;
  let asked = { request: "", key: "" };

  function tell(shown, text) {
    fill(outcome, shown);
    const good = shown.classList.contains("good");
    announce([...shown.children].map((line) => line.textContent).join(". "));
    navigator.vibrate?.(good ? 80 : [80, 80, 240]);
    letIn += good ? 1 : 0;
    tally.textContent = `${count(letIn)} let in at this door.`;
    const line = make("li", { "data-good": String(good) }, make("time", { datetime: new Date().toISOString() }, new Date().toLocaleTimeString("en-GB")), " ",
      make("span", {}, `${one(".said", shown).textContent}: ${text}`));
    before.prepend(line);
    while (before.children.length > SHOWN) before.lastChild.remove();
  }

  async function checkIn(text) {
    const wanted = { code: text, gate: gate.value.trim() || null, ticket_ids: door.value === "" ? null : doors[Number(door.value)].tickets };
    // Asked again after the network was away, it is the same check-in, and not the second one of this ticket; at another
    // door it is another one, which may not have its key.
    const request = JSON.stringify(wanted);
    if (asked.request !== request) asked = { request, key: newKey() };
    try {
      const done = await post("/check-ins", wanted, asked.key);
      const which = `Ticket ${done.number} of ${done.of}`;
      tell(verdict(true, "Come in", `${done.title}, ${done.event.name}`, which), `${done.title}, ${which.toLowerCase()}`);
    } catch (problem) {
      if (problem.code === "unauthenticated") return toSignIn();
      const shown = refused(problem);
      if (shown === null) {
        fill(outcome, verdict(false, "Not checked", `${refusal(problem)} Show the code again.`));
        announce("Not checked");
        return undefined;
      }
      tell(shown, shown.lastChild.textContent);
    }
    asked = { request: "", key: "" };
    code.value = "";
    return undefined;
  }

  const form = make("form", { class: "stack", onsubmit: (event) => {
    event.preventDefault();
    busily(button, async () => {
      await checkIn(code.value.trim());
      code.focus();
    });
  } },
  make("div", { class: "field" }, make("label", { for: "code" }, "Code"), code,
    make("span", { class: "hint", id: "code-hint" }, "The short code below the QR code, in capitals or not. A hand scanner types the long one.")),
  make("p", { class: "buttons" }, button));
  code.setAttribute("aria-describedby", "code-hint");

  const video = make("video", { class: "finder", muted: true, playsinline: true, hidden: true, "aria-label": "What the camera sees" });
  const noCamera = make("p", { class: "hint", hidden: true }, "This browser cannot read QR codes by itself: type the short code, or use a hand scanner.");
  let stop = null;
  const scan = make("button", { class: "button quiet", type: "button", "aria-pressed": "false", hidden: true, onclick: () => busily(scan, async () => {
    if (stop) {
      stop();
      stop = null;
    } else {
      video.hidden = false;
      try {
        stop = await scanner(video, checkIn);
      } catch {
        fill(outcome, verdict(false, "No camera", "The browser may not use it, or there is none. Type the short code."));
      }
    }
    video.hidden = stop === null;
    scan.setAttribute("aria-pressed", String(stop !== null));
    scan.textContent = stop ? "Stop the camera" : "Scan with the camera";
  }) }, "Scan with the camera");
  one(".buttons", form).append(scan);

  fill(content, make("div", { class: "columns" },
    make("div", { class: "stack" }, form, noCamera, video, make("section", { "aria-label": "Outcome" }, outcome)),
    make("div", { class: "stack" },
      make("div", { class: "field" }, make("label", { for: "door" }, "This door is for"), door),
      make("div", { class: "field" }, make("label", { for: "gate" }, "Its name"), gate),
      make("h2", {}, "Who came"), tally, before)));
  code.focus();
  const cameraReads = await canScan();
  scan.hidden = !cameraReads;
  noCamera.hidden = cameraReads;
  await fillDoors(door, doors);
}

fillOwn(content, begin);
