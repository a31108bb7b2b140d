"use strict";

// Searches the page, sends the requests that its forms describe, and copies them as programs.

const key = document.getElementById("key");
const search = document.getElementById("search");

// Returns the method, the path with its query, the body, and the headers that a form describes.
function request(form) {
  const { method, path } = form.dataset;
  const filled = [...form.querySelectorAll("input[data-in]")].filter((input) => input.value);
  const of = (where) => filled.filter((input) => input.dataset.in === where);
  const values = Object.fromEntries(of("path").map((input) => [input.name, input.value]));
  const where = path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(values[name] ?? ""));
  const query = new URLSearchParams();
  for (const input of of("query")) {
    if (!("map" in input.dataset)) query.append(input.name, input.value);
    else for (const pair of input.value.split(",")) {
      const [name, ...rest] = pair.split("=");
      query.append(`${input.name}[${name.trim()}]`, rest.join("="));
    }
  }
  const body = form.querySelector("textarea")?.value;
  return { method: method.toUpperCase(), where: query.size ? `${where}?${query}` : where, body };
}

async function send(form, signal) {
  const { method, where, body } = request(form);
  const headers = key.value ? { authorization: `Bearer ${key.value}` } : {};
  if (body !== undefined) headers["content-type"] = "application/json";
  // Relative, because the gateway may be below a proxy's path.
  return fetch(where.slice(1), { method, headers, body, signal });
}

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

const programs = {
  curl({ method, url, body, authorized }) {
    const lines = [`curl -X ${method} ${quoted(url)}`];
    if (authorized) lines.push(`-H "Authorization: Bearer $DRAGOMAN_CLIENT_KEY"`);
    if (body !== undefined) lines.push("-H 'Content-Type: application/json'", `-d ${quoted(body)}`);
    return lines.join(" \\\n  ");
  },
  Python({ method, url, body, authorized }) {
    const lines = ["import os", "import urllib.request", "", "request = urllib.request.Request("];
    lines.push(`    ${JSON.stringify(url)},`, `    method="${method}",`);
    const headers = [];
    if (authorized) headers.push(`"Authorization": f"Bearer {os.environ['DRAGOMAN_CLIENT_KEY']}"`);
    if (body !== undefined) {
      headers.push(`"Content-Type": "application/json"`);
      lines.push(`    data=${JSON.stringify(body)}.encode(),`);
    }
    lines.push(`    headers={${headers.join(", ")}},`, ")");
    lines.push("with urllib.request.urlopen(request) as response:", "    for line in response:");
    lines.push("        print(line.decode(), end=\"\")");
    if (!authorized) lines.shift();
    return lines.join("\n");
  },
  Node({ method, url, body, authorized }) {
    const headers = [];
    if (authorized) headers.push("authorization: `Bearer ${process.env.DRAGOMAN_CLIENT_KEY}`");
    if (body !== undefined) headers.push(`"content-type": "application/json"`);
    const lines = [`const response = await fetch(${JSON.stringify(url)}, {`, `  method: "${method}",`];
    if (headers.length) lines.push(`  headers: { ${headers.join(", ")} },`);
    if (body !== undefined) lines.push(`  body: ${JSON.stringify(body)},`);
    lines.push("});", "for await (const part of response.body.pipeThrough(new TextDecoderStream())) {");
    return [...lines, "  process.stdout.write(part);", "}"].join("\n");
  },
};

function program(form, language) {
  const { method, where, body } = request(form);
  const compact = (text) => { try { return JSON.stringify(JSON.parse(text)); } catch { return text; } };
  const url = new URL(where.slice(1), document.baseURI).href;
  return programs[language]({ method, url, body: body === undefined ? body : compact(body), authorized: Boolean(key.value) });
}

async function show(answer, shown) {
  shown.textContent = "";
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) shown.textContent += part.value;
  if (answer.headers.get("content-type")?.includes("json")) {
    shown.textContent = JSON.stringify(JSON.parse(shown.textContent), null, 2);
  }
}

// Writes the id of what was created into the empty forms that take one.
function offerId(form, text) {
  const id = /"id": ?"([^"]+)"/.exec(text)?.[1];
  const group = form.closest("section").dataset.group;
  if (!id || form.dataset.method !== "post") return;
  for (const input of document.querySelectorAll(`section[data-group="${group}"] input[data-in="path"]`)) {
    if (!input.value || input.dataset.offered) { input.value = id; input.dataset.offered = "yes"; }
  }
}

function prepare(form) {
  const [sending, stop] = form.querySelectorAll("button");
  const shown = form.querySelector("pre");
  const state = form.querySelector("output");
  let sent = null;
  form.hidden = false;
  stop.addEventListener("click", () => sent?.abort());
  for (const button of form.querySelectorAll(".copy")) {
    button.addEventListener("click", async () => {
      const text = program(form, button.dataset.as);
      shown.hidden = false;
      shown.textContent = text;
      // Only a secure context has a clipboard: elsewhere the text can be selected.
      await navigator.clipboard?.writeText(text).then(() => { state.textContent = "copied"; }, () => {});
    });
  }
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    sent = new AbortController();
    sending.disabled = true;
    stop.disabled = shown.hidden = false;
    state.textContent = "asking…";
    const began = performance.now();
    try {
      const answer = await send(form, sent.signal);
      state.textContent = `${answer.status}`;
      await show(answer, shown);
      state.textContent = `${answer.status} in ${Math.round(performance.now() - began)} ms`;
      if (answer.ok) offerId(form, shown.textContent);
    } catch (error) {
      state.textContent = error.name === "AbortError" ? "stopped" : `${error}`;
    } finally {
      sending.disabled = false;
      stop.disabled = true;
    }
  });
}

function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (text) => words.every((word) => text.toLowerCase().includes(word));
  for (const section of document.querySelectorAll("main > section")) {
    section.hidden = !fits(section.querySelector("h2, h3").textContent + (section.querySelector("p")?.textContent ?? ""));
  }
  for (const item of document.querySelectorAll("nav li")) {
    item.hidden = document.querySelector(item.firstChild.getAttribute("href"))?.hidden ?? false;
  }
  for (const group of document.querySelectorAll("nav details")) group.hidden = !group.querySelector("li:not([hidden])");
}

// A link to a schema opens it.
function openTarget() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  const folded = target && target.id.startsWith("schema-") && target.querySelector("details");
  if (folded) folded.open = true;
}

for (const part of document.querySelectorAll(document.forms.length ? ".scripted" : ".scripted:not(.key)")) part.hidden = false;
if (matchMedia("(max-width: 55rem)").matches) {
  for (const group of document.querySelectorAll("nav details")) group.open = false;
}
search.addEventListener("input", filter);
window.addEventListener("hashchange", openTarget);
document.querySelectorAll("form").forEach(prepare);
openTarget();
