// Making elements, finding them, and saying things to whoever listens instead of looking.

export const one = (selector, root = document) => root.querySelector(selector);
export const all = (selector, root = document) => [...root.querySelectorAll(selector)];

/** An element; `on…` properties are listeners, texts are put in as texts and never as HTML. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function makeSvg(tag, properties = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(properties)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** For screen readers: what has just happened. */
export function announce(text) {
  one("#announcer").textContent = text;
}

/** Shows what went wrong beside what was tried; without a text it is hidden. */
export function trouble(element, text = "") {
  element.textContent = text;
  element.hidden = !text;
}

/** Replaces what the page's frame came with. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat().filter(Boolean));
  element.removeAttribute("aria-busy");
}

/** Runs a submit or a click once at a time: the button says that it works on it. */
export async function busily(button, work) {
  if (button.getAttribute("aria-disabled") === "true") return undefined;
  button.setAttribute("aria-disabled", "true");
  try {
    return await work();
  } finally {
    button.removeAttribute("aria-disabled");
  }
}
