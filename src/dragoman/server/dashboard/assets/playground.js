// Playground: ask a model, or compare two.

import { Page, access, copies, count, curl, duration, get, html, icon, render, send } from "/dashboard/lib.js";

class PlaygroundPage extends Page {
  #stop = null;
  #panes = 1;

  async open() {
    const { data } = await get("/v1/models");
    if (!this.isConnected) return;
    const options = html`${data.map((model) => html`<option value="${model.id}">${model.id}</option>`)}`;
    render(this, html`<div class="head"><h1>Playground</h1><div class="actions"><div class="tabs" role="group" aria-label="Layout"><button type="button" data-panes="1" aria-pressed="true">One model</button><button type="button" data-panes="2" aria-pressed="false">Compare two</button></div></div></div>
      <div class="stack"><form class="panel"><div class="body form">
        <label>Prompt<textarea name="prompt" rows="4" required placeholder="Ask something">Count to 5</textarea></label>
        <details><summary>System prompt</summary><textarea name="system" rows="2" aria-label="System prompt"></textarea></details>
        <div class="row"><label>Model<select name="model1">${options}</select></label><label id="second" hidden>Compare with<select name="model2">${options}</select></label>
        <label>Maximum tokens<input name="max" type="number" min="1" value="1024"></label>
        <button class="primary" id="send">Send</button><button type="button" id="stop" disabled>Stop</button></div>
        <p class="soft">Requests go to <code>/v1/chat/completions</code> of this gateway, and cost what they cost. Ctrl and Enter send, too.</p></div></form>
      <div class="play"></div></div>`);
    const form = this.$("form");
    const names = data.map((model) => model.id);
    form.model1.value = names.find((name) => name === "sonnet") ?? names[0];
    form.model2.value = names.find((name) => name === "haiku") ?? names.at(-1);
    form.addEventListener("submit", (event) => this.#ask(event));
    form.addEventListener("keydown", (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && form.requestSubmit());
    this.$("#stop").addEventListener("click", () => this.#stop?.abort());
    this.$(".tabs").addEventListener("click", (event) => event.target.dataset.panes && this.#split(Number(event.target.dataset.panes)));
    this.cleanup(() => this.#stop?.abort());
    this.#split(1);
  }

  #split(panes) {
    this.#panes = panes;
    for (const tab of this.$(".tabs").children) tab.setAttribute("aria-pressed", String(tab.dataset.panes === String(panes)));
    this.$("#second").hidden = panes === 1;
    render(this.$(".play"), Array.from({ length: panes }, (_, i) => html`<section class="panel" aria-label="Response ${i + 1}"><header><h2>Response</h2><span class="soft mono" data-part="state"></span></header><div class="body" data-part="body"><p class="soft">The response appears here as it is written.</p></div></section>`));
  }

  async #ask(event) {
    event.preventDefault();
    const form = event.target;
    this.#stop?.abort();
    const stop = (this.#stop = new AbortController());
    this.$("#stop").disabled = false;
    const messages = [...(form.system.value.trim() ? [{ role: "system", content: form.system.value }] : []), { role: "user", content: form.prompt.value }];
    const models = [form.model1.value, form.model2.value].slice(0, this.#panes);
    const panes = [...this.$(".play").children];
    await Promise.allSettled(models.map((model, i) => stream_into(panes[i], { model, messages, max_tokens: Number(form.max.value), stream: true, stream_options: { include_usage: true } }, stop.signal)));
    if (this.#stop === stop && this.isConnected) this.$("#stop").disabled = true;
  }
}

async function stream_into(pane, body, signal) {
  const state = pane.querySelector("[data-part=state]");
  const place = pane.querySelector("[data-part=body]");
  pane.querySelector("h2").textContent = body.model;
  state.textContent = "waiting";
  render(place, html`<div class="message" aria-live="polite"></div><details class="raw"><summary>Request</summary><pre class="scroll" tabindex="0">${curl("/v1/chat/completions", body, access() === "signed-in")}</pre><button type="button" class="small">${icon("copy")}<span>Copy</span></button></details>`);
  copies(place.querySelector("button"), () => curl("/v1/chat/completions", body, access() === "signed-in"));
  const output = place.querySelector(".message");
  const start = performance.now();
  try {
    const response = await send("/v1/chat/completions", { method: "POST", signal, headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    let usage = null;
    let first = 0;
    for await (const chunk of chunks(response)) {
      if (chunk.error) throw new Error(chunk.error.message);
      const text = chunk.choices?.[0]?.delta?.content;
      if (text) {
        first ||= performance.now() - start;
        output.append(text);
      }
      usage = chunk.usage ?? usage;
      state.textContent = duration((performance.now() - start) / 1000);
    }
    const run = response.headers.get("x-dragoman-run-id");
    render(state, html`${duration((performance.now() - start) / 1000)}, first token ${duration(first / 1000)}${usage ? `, ${count(usage.prompt_tokens)} → ${count(usage.completion_tokens)} tokens` : ""} ${run ? html`<a href="#/runs/${run}">Open the run</a>` : ""}`);
  } catch (error) {
    const isStopped = error.name === "AbortError";
    state.textContent = isStopped ? "stopped" : "failed";
    if (!isStopped) {
      output.classList.add("error");
      output.append(error.message);
    }
  }
}

async function* chunks(response) {
  let rest = "";
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const lines = (rest + part.value).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line.startsWith("data: {")) yield JSON.parse(line.slice(6));
  }
}

customElements.define("playground-page", PlaygroundPage);
