"use strict";

// Sends the requests that the forms of the page describe, and shows answers as they come.

const key = document.getElementById("key");

async function send(form, signal) {
  const { method, path } = form.dataset;
  const where = path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(form.elements[name].value));
  const headers = key.value ? { authorization: `Bearer ${key.value}` } : {};
  const body = form.elements.body?.value;
  if (body !== undefined) headers["content-type"] = "application/json";
  // Relative, since the gateway may stand below a proxy's path.
  return fetch(where.slice(1), { method: method.toUpperCase(), headers, body, signal });
}

async function show(answer, shown) {
  shown.textContent = "";
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) shown.textContent += part.value;
  if (answer.headers.get("content-type")?.includes("json")) {
    shown.textContent = JSON.stringify(JSON.parse(shown.textContent), null, 2);
  }
}

function prepare(form) {
  const [sending, stop] = form.querySelectorAll("button");
  const shown = form.querySelector("pre");
  const state = form.querySelector("output");
  let sent = null;
  form.hidden = false;
  stop.addEventListener("click", () => sent?.abort());
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
    } catch (error) {
      state.textContent = error.name === "AbortError" ? "stopped" : `${error}`;
    } finally {
      sending.disabled = false;
      stop.disabled = true;
    }
  });
}

document.querySelector(".key").hidden = false;
document.querySelectorAll("form").forEach(prepare);
