// What all pages share: HTML that is safe by construction, requests, texts for figures.

const policy = globalThis.trustedTypes?.createPolicy("dragoman", { createHTML: (text) => text });
const ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

class Html {
  constructor(text) {
    this.text = text;
  }
}

const encode = (value) => {
  if (value instanceof Html) return value.text;
  if (Array.isArray(value)) return value.map(encode).join("");
  return value === null || value === undefined || value === false ? "" : String(value).replace(/[&<>"']/g, (c) => ESCAPES[c]);
};

/** Return HTML. Every value is shown as text, unless it was made by this function. The only way to make HTML. */
export const html = (parts, ...values) => new Html(parts.reduce((text, part, i) => text + encode(values[i - 1]) + part));

/** Replace the content of an element. */
export function render(element, content) {
  const text = encode(content);
  element.innerHTML = policy ? policy.createHTML(text) : text;
}

/** Return the first element of HTML. */
export function element(content) {
  const template = document.createElement("template");
  render(template, content);
  return template.content.firstElementChild;
}

const ICONS = {
  now: "M2 8h3l2-5 3 10 2-5h2",
  usage: "M3 13V8M8 13V3M13 13V6",
  cache: "M8 2 2 5l6 3 6-3-6-3ZM2 8l6 3 6-3M2 11l6 3 6-3",
  playground: "M3 3h10v8H8l-3 3v-3H3z",
  settings: "M2 5h6M12 5h2M2 11h2M8 11h6M10 3v4M6 9v4",
  alert: "M8 2 15 14H1zM8 7v3M8 12v.1",
  copy: "M6 6h8v8H6zM10 6V2H2v8h4",
  back: "M9 3 4 8l5 5",
  plan: "M2 11a6 6 0 0 1 12 0M8 11l3-4M2 14h12",
  nodes: "M2 3h12v4H2zM2 9h12v4H2zM5 5v.1M5 11v.1",
  refresh: "M13 8a5 5 0 1 1-1.5-3.5L13 6M13 2v4H9",
  keys: "M10 6a3 3 0 1 0-3 3l1-.3L14 3M11 6l2 2",
};
export const icon = (name) => html`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path d="${ICONS[name]}"/></svg>`;

const root = document.documentElement;
export const access = () => root.dataset.access;

/** An error that the gateway answered. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Send a request to the gateway. A session that is over shows the form to sign in. */
export async function send(path, options = {}) {
  const headers = { ...options.headers };
  if (root.dataset.token) headers["x-dragoman-token"] = root.dataset.token;
  const response = await fetch(path, { ...options, headers });
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  if (response.status === 401 && !options.signing) dispatchEvent(new Event("signed-out"));
  throw new ApiError(response.status, body.error?.message ?? `The gateway answered ${response.status}.`);
}

export const get = async (path) => (await send(path)).json();

/** Follow server-sent events until the page is left. Handlers are named after events. */
export function follow(page, path, handlers) {
  const source = new EventSource(path);
  for (const [name, handler] of Object.entries(handlers)) {
    source.addEventListener(name, (event) => event.data !== undefined && handler(JSON.parse(event.data), source));
  }
  source.addEventListener("error", () => {
    handlers.lost?.();
    if (source.readyState === EventSource.CLOSED) get("/admin/runs?limit=1").catch(() => {});
  });
  page.cleanup(() => source.close());
  return source;
}

/** The base of all pages: a custom element that gives back what it holds when it is left. */
export class Page extends HTMLElement {
  #cleanups = [];

  cleanup(action) {
    this.#cleanups.push(action);
  }

  every(seconds, action) {
    const timer = setInterval(action, seconds * 1000);
    this.cleanup(() => clearInterval(timer));
  }

  connectedCallback() {
    const observers = [new ResizeObserver(() => this.#fit()), new MutationObserver(() => this.#fit())];
    for (const one of observers) {
      one.observe(this, { childList: true, subtree: true });
      this.cleanup(() => one.disconnect());
    }
    return this.load(() => this.open());
  }

  /** Let tables that are wider than the window scroll by the keyboard, too. */
  #fit() {
    for (const box of this.querySelectorAll(".table")) {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  }

  /** Do what needs the gateway. If it fails, the page says so. */
  async load(action) {
    this.querySelector(":scope > .notice")?.remove();
    try {
      await action();
    } catch (error) {
      if (error.status !== 401) this.prepend(element(notice(error.message, "bad")));
    }
  }

  disconnectedCallback() {
    for (const action of this.#cleanups.splice(0)) action();
  }

  $(selector) {
    return this.querySelector(selector);
  }
}

export const notice = (text, kind = "") => html`<p class="notice ${kind}" role="${kind ? "alert" : "note"}">${icon("alert")}<span>${text}</span></p>`;
export const badge = (status) => html`<span class="badge ${status}">${status}</span>`;
export const tile = (name, value, note, extra = "") =>
  html`<div class="tile"><dt>${name}</dt><dd>${value}${extra}</dd>${note ? html`<dd class="note">${note}</dd>` : ""}</div>`;

const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const WHOLE = new Intl.NumberFormat("en");
export const count = (number) => (number < 10_000 ? WHOLE.format(number) : COMPACT.format(number));
export const percent = (share) => `${(share * 100).toFixed(share > 0 && share < 0.1 ? 1 : 0)}%`;

export function dollars(amount) {
  if (amount === null || amount === undefined) return "–";
  if (amount === 0) return "$0";
  if (amount < 0.01) return `$${amount.toPrecision(2)}`.replace(/e-\d+$/, "").replace(/^\$\d+\.\d+$/, (text) => (amount < 0.0001 ? "<$0.0001" : text));
  return amount < 1 ? `$${amount.toFixed(3)}` : `$${amount.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 0.001) return "<1 ms";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  if (seconds >= 172_800) return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3600)} h`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

export function ago(time) {
  const seconds = Date.now() / 1000 - time;
  if (seconds < 5) return "now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return new Date(time * 1000).toLocaleDateString("en", { month: "short", day: "numeric" });
}

export const moment = (time) => new Date(time * 1000).toLocaleString("en", { dateStyle: "medium", timeStyle: "medium" });
export const soon = (time) => new Date(time * 1000).toLocaleString("en", { month: "short", day: "numeric", hour: "numeric", minute: "2-digit" });
export const isOpen = (run) => run.status === "queued" || run.status === "running";
export const took = (run) => run.stages.total ?? (isOpen(run) ? Date.now() / 1000 - run.created : null);

/** Return the tokens of a run by kind. */
export function tokens(run) {
  const usage = run.usage ?? {};
  const parts = {
    input: usage.input_tokens ?? 0,
    read: usage.cache_read_input_tokens ?? 0,
    written: usage.cache_creation_input_tokens ?? 0,
    output: usage.output_tokens ?? 0,
  };
  return { ...parts, prompt: parts.input + parts.read + parts.written };
}

/** Make a button copy a text. */
export function copies(button, text) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text());
    const before = button.lastChild.textContent;
    button.lastChild.textContent = "Copied";
    setTimeout(() => (button.lastChild.textContent = before), 1500);
  });
}

export const curl = (path, body, keyed) =>
  `curl ${location.origin}${path} \\\n  -H 'content-type: application/json' \\\n${keyed ? "  -H \"authorization: Bearer $DRAGOMAN_API_KEY\" \\\n" : ""}  -d '${JSON.stringify(body).replaceAll("'", "'\\''")}'`;
