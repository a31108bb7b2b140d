// Run: one run, as it comes or as it was.

import { Page, access, badge, copies, count, curl, dollars, duration, element, follow, get, html, icon, isOpen, moment, notice, percent, render, send, tile, tokens, took } from "/dashboard/lib.js";

const STAGES = { queue: "Queue", process: "Process", replay: "Replay", first_token: "First token", writing: "Writing" };
const COSTS = { input: "Input", cache_read: "Read from the cache", cache_write: "Written to the cache", output: "Output", web_search: "Web searches" };
const COLORS = { queue: 6, process: 5, replay: 4, first_token: 2, writing: 1 };

class RunPage extends Page {
  #run = null;
  #blocks = [];

  async open() {
    this.#run = await get(`/admin/runs/${encodeURIComponent(this.dataset.id)}`);
    if (!this.isConnected) return;
    this.#build();
    if (isOpen(this.#run)) this.#follow();
  }

  #build() {
    const run = this.#run;
    render(this, html`
      <div class="head"><a href="#/" class="button" aria-label="Back to all runs">${icon("back")}</a><h1 class="mono">${run.id.slice(0, 16)}</h1>${badge(run.status)}
        <div class="actions">${isOpen(run) ? html`<button type="button" class="danger" id="cancel">Cancel</button>` : ""}<button type="button" id="copy">${icon("copy")}<span>${run.asked ? "Copy as curl" : "Copy id"}</span></button></div></div>
      <div class="stack"><div id="problem">${problem(run)}</div><dl class="panel tiles" id="tiles"></dl>
        ${missed(run)}${(run.warnings ?? []).map((warning) => notice(`${warning.param}: ${warning.detail || warning.code}`))}
        <div class="split"><section class="panel" aria-labelledby="time-title"><header><h2 id="time-title">Time</h2></header><div class="body" id="time"></div></section>
        <section class="panel" aria-labelledby="cost-title"><header><h2 id="cost-title">Cost</h2></header><div id="costs"></div></section></div>
        ${run.asked ? html`<section class="panel" aria-label="Request"><header><h2>Request</h2></header>${request(run.asked)}</section>` : ""}
        <section class="panel" aria-label="Response"><header><h2>Response</h2><span class="tag" id="live" hidden>live</span></header><div class="body" id="response"></div></section>
        <section class="panel" aria-label="Details"><header><h2>Details</h2></header><div class="body"><dl class="facts" id="facts"></dl></div></section></div>`);
    this.$("#cancel")?.addEventListener("click", (event) => this.#cancel(event.target));
    copies(this.$("#copy"), () => (run.asked ? curl("/v1/messages", run.asked, access() === "signed-in") : run.id));
    this.#blocks = run.answered?.content ?? [];
    this.#update();
    this.#showResponse();
  }

  #update() {
    const run = this.#run;
    const { prompt, read, output } = tokens(run);
    const speed = run.stages.total && output ? output / Math.max(run.stages.total - before(run), 0.001) : null;
    render(this.$("#tiles"), [
      tile("Model", html`<small class="mono">${run.model}</small>`, [run.path, run.upstream].filter(Boolean).join(" on ")),
      tile("Cost", dollars(run.cost)),
      tile("Prompt", html`${count(prompt)} <small>tokens</small>`, prompt ? `${percent(read / prompt)} from the cache` : ""),
      tile("Output", html`${count(output)} <small>tokens</small>`, speed && speed < 100_000 ? `${count(Math.round(speed))} a second` : ""),
      tile("Time", html`<span id="took">${duration(took(run))}</span>`, run.stages.first_token ? `first token after ${duration(before(run))}` : ""),
    ]);
    render(this.$("#time"), waterfall(run));
    render(this.$("#costs"), costs(run));
    const facts = { Client: run.client, Endpoint: run.endpoint, Started: moment(run.created), Ended: run.ended ? moment(run.ended) : null, Request: run.request_id, Run: run.id };
    render(this.$("#facts"), Object.entries(facts).filter(([, value]) => value).map(([name, value]) => html`<dt>${name}</dt><dd class="${["Request", "Run"].includes(name) ? "mono" : ""}">${value}</dd>`));
  }

  #follow() {
    this.$("#live").hidden = false;
    this.every(0.5, () => isOpen(this.#run) && (this.$("#took").textContent = duration(took(this.#run))));
    follow(this, `/admin/runs/${this.#run.id}/events`, {
      message: (message) => this.#set([...message.content]),
      content_block_start: ({ index, content_block: block }) => (this.#blocks[index] = { ...block }),
      content_block_delta: ({ index, delta }) => this.#add(index, delta),
      status: ({ status }) => this.#set(this.#blocks, (this.#run.status = status)),
      end: async (run, source) => {
        source.close();
        const blocks = this.#blocks;
        this.#run = await get(`/admin/runs/${run.id}`);
        if (!this.isConnected) return;
        this.#build();
        if (!this.#run.answered) this.#set(blocks);
      },
    });
  }

  #add(index, delta) {
    const block = (this.#blocks[index] ??= { type: "text" });
    for (const name of ["text", "thinking", "partial_json"]) if (delta[name]) block[name] = (block[name] ?? "") + delta[name];
    this.#showLater();
  }

  #set(blocks) {
    this.#blocks = blocks;
    this.#showLater();
  }

  #isWaiting = false;

  #showLater() {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    requestAnimationFrame(() => {
      this.#isWaiting = false;
      if (this.isConnected) this.#showResponse();
    });
  }

  #showResponse() {
    const shown = this.#blocks.filter((block) => block && (block.text ?? block.thinking) !== "").map(block_view);
    const none = isOpen(this.#run) ? "Nothing yet." : this.#run.usage ? "The text of this run was not stored. Start the gateway with --runs-content to store requests and responses." : "There is no response.";
    render(this.$("#response"), shown.length ? shown : html`<p class="soft">${none}</p>`);
  }

  async #cancel(button) {
    button.disabled = true;
    await send(`/admin/runs/${this.#run.id}/cancel`, { method: "POST" }).catch((error) => this.prepend(element(notice(error.message, "bad"))));
  }
}

const before = (run) => ["queue", "process", "replay", "first_token"].reduce((sum, name) => sum + (run.stages[name] ?? 0), 0);

function missed({ cache }) {
  if (!cache?.reason || cache.reason === "first_turn") return "";
  const amount = cache.expected === null ? "" : `${count(cache.read)} of ${count(cache.expected)} cached tokens were read. `;
  return notice(`Cache: ${amount}${cache.detail}${cache.part && cache.part !== cache.reason ? ` (${cache.part})` : ""}`);
}

const problem = (run) => (run.error ? notice(`Failed: ${run.error}`, "bad") : run.status === "cancelled" ? notice(`Cancelled: ${run.reason ?? "the client left"}`) : "");

function waterfall(run) {
  const total = took(run) || 0.001;
  const stages = { ...run.stages, writing: Math.max(0, (run.stages.total ?? before(run)) - before(run)) };
  let start = 0;
  const rows = Object.entries(STAGES).filter(([name]) => stages[name] > 0).map(([name, title]) => {
    const [x, width] = [(start / total) * 100, (stages[name] / total) * 100];
    start += stages[name];
    return html`<li><span>${title}</span><svg viewBox="0 0 100 14" preserveAspectRatio="none" aria-hidden="true"><rect class="track" width="100" height="14"/><rect class="s${COLORS[name]}" x="${Math.min(x, 99.4)}" width="${Math.max(width, 0.6)}" height="14"/></svg><span class="n">${duration(stages[name])}</span></li>`;
  });
  return rows.length ? html`<ol class="waterfall">${rows}</ol>` : html`<p class="soft">Not measured yet.</p>`;
}

function costs(run) {
  const found = Object.entries(run.costs ?? {}).filter(([, amount]) => amount > 0);
  if (!found.length) return html`<div class="body"><p class="soft">The API has not counted any tokens.</p></div>`;
  const { input, read, written, output } = tokens(run);
  const amounts = { input, cache_read: read, cache_write: written, output };
  return html`<div class="table"><table><thead><tr><th scope="col">Part</th><th scope="col" class="n">Tokens</th><th scope="col" class="n">Dollars</th></tr></thead>
    <tbody>${found.map(([name, amount]) => html`<tr><th scope="row">${COSTS[name]}</th><td class="n">${name in amounts ? count(amounts[name]) : ""}</td><td class="n">${dollars(amount)}</td></tr>`)}</tbody></table></div>`;
}

function request(asked) {
  const system = typeof asked.system === "string" ? [{ type: "text", text: asked.system }] : (asked.system ?? []);
  const turns = [...(system.length ? [{ role: "system", content: system }] : []), ...(asked.messages ?? [])];
  return html`${turns.map(({ role, content }) => html`<div class="turn"><h3>${role}</h3>${(typeof content === "string" ? [{ type: "text", text: content }] : content).map(block_view)}</div>`)}
    <div class="turn"><details><summary>The whole request</summary><pre class="scroll" tabindex="0">${JSON.stringify(asked, null, 2)}</pre></details></div>`;
}

function block_view(block) {
  const text = block.text ?? block.thinking;
  const body = text ?? block.partial_json ?? JSON.stringify(block.input ?? block.content ?? block, null, 2);
  const title = block.type === "text" ? "" : html`<small>${[block.type.replaceAll("_", " "), block.name].filter(Boolean).join(": ")}</small>`;
  return html`<div class="block">${title}${text === undefined ? html`<pre>${body}</pre>` : html`<div class="message ${block.type === "thinking" ? "soft" : ""}" tabindex="${body.length > 1500 ? 0 : -1}">${body}</div>`}</div>`;
}

customElements.define("run-page", RunPage);
