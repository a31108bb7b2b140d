// Nodes: the machines and processes of the gateway, and the accounts that they use.

import { Page, badge, count, duration, get, html, icon, render, tile } from "/dashboard/lib.js";

const STATES = { ready: "ready", resting: "cancelled", budget_used: "cancelled", not_ready: "failed" };
const ACCOUNTS = { signed_in: "Claude Code sign-in", api_key: "API key", auth_token: "bearer token", none: "no key" };

class NodesPage extends Page {
  async open() {
    render(this, html`<div class="head"><h1>Nodes</h1><div class="actions"><button type="button" id="refresh">${icon("refresh")}<span>Refresh</span></button></div></div>
      <div class="stack" aria-live="polite"><dl class="panel tiles" id="tiles"></dl><div class="stack" id="nodes"></div>
      <section class="panel" aria-label="Upstreams"><header><h2>Upstreams</h2></header><div class="table" id="upstreams"></div></section></div>`);
    this.$("#refresh").addEventListener("click", () => this.load(() => this.#load()));
    await this.#load();
  }

  async #load() {
    const { nodes } = await get("/admin/nodes");
    if (!this.isConnected) return;
    const workers = nodes.flatMap((node) => node.workers);
    const sum = (name) => workers.reduce((total, worker) => total + worker[name], 0);
    render(this.$("#tiles"), [
      tile("Nodes", count(nodes.length)),
      tile("Workers", html`${workers.filter(({ ready }) => ready).length} <small>of ${workers.length} ready</small>`),
      tile("Running", html`${count(sum("running"))} <small>of ${count(sum("places"))}</small>`),
      tile("In the queue", html`${count(sum("queued"))} <small>of ${count(sum("queue_size"))}</small>`),
    ]);
    render(this.$("#nodes"), nodes.map(node_view));
    render(this.$("#upstreams"), upstreams(workers));
  }
}

function node_view({ name, here, version, draining, workers }) {
  return html`<section class="panel" aria-label="${name}"><header><h2>${name}</h2>${here ? html`<span class="tag">this one</span>` : ""}${draining ? html`<span class="tag">stopping</span>` : ""}<span class="soft">${version}</span></header>${workers.length ? "" : html`<div class="body"><p class="soft">This node does not answer.</p></div>`}<div class="table"><table>
    <thead><tr><th scope="col">Worker</th><th scope="col">State</th><th scope="col" class="n">Running</th><th scope="col" class="n">Queue</th><th scope="col">Processes</th><th scope="col" class="n">Up</th></tr></thead>
    <tbody>${workers.map((one) => html`<tr><th scope="row">${one.worker} <small class="mono">pid ${one.pid}</small></th>
      <td>${one.ready ? badge("ready") : html`<span class="badge failed">not ready</span><p class="soft">${one.reason}</p>`}</td>
      <td class="n">${count(one.running)} <span class="soft">of ${count(one.places)}</span></td><td class="n">${count(one.queued)}</td>
      <td>${processes(one.processes)}</td><td class="n">${duration(one.uptime)}</td></tr>`)}</tbody></table></div></section>`;
}

function processes(counts) {
  const shown = Object.entries(counts ?? {}).filter(([name]) => name !== "all");
  return shown.length ? shown.map(([name, n]) => `${n} ${name === "spare" ? "warm" : name}`).join(", ") : html`<span class="soft">–</span>`;
}

/** Return one row for each upstream: the runs of all workers, and the state of the worker that fares worst. */
function upstreams(workers) {
  const found = new Map();
  for (const worker of workers) {
    const given = worker.upstreams ?? { [worker.backend]: { state: worker.ready ? "ready" : "not_ready", reason: worker.reason, backend: worker.backend, authentication: worker.authentication, runs: { running: worker.running, waiting: worker.queued } } };
    for (const [name, one] of Object.entries(given)) found.set(name, [...(found.get(name) ?? []), one]);
  }
  return html`<table><thead><tr><th scope="col">Name</th><th scope="col">State</th><th scope="col">Account</th><th scope="col" class="n">Running</th><th scope="col" class="n">Waiting</th><th scope="col">Budget today</th></tr></thead>
    <tbody>${[...found].map(([name, all]) => {
      const shown = all.find(({ state }) => state !== "ready") ?? all[0];
      const sum = (kind) => all.reduce((total, { runs }) => total + (runs?.[kind] ?? 0), 0);
      const budget = shown.budget;
      return html`<tr><th scope="row" class="break">${name}</th><td><span class="badge ${STATES[shown.state] ?? ""}">${shown.state.replaceAll("_", " ")}</span>${shown.state !== "ready" && shown.reason ? html`<p class="soft">${shown.reason}</p>` : ""}</td>
        <td>${shown.backend}<br><small>${ACCOUNTS[shown.authentication] ?? shown.authentication ?? ""}</small></td><td class="n">${count(sum("running"))}</td><td class="n">${count(sum("waiting"))}</td>
        <td>${budget ? html`$${budget.spent_dollars} <span class="soft">of $${budget.daily_dollars}</span><meter min="0" max="${budget.daily_dollars}" value="${budget.spent_dollars}" aria-label="Budget of ${name}"></meter>` : html`<span class="soft">none</span>`}</td></tr>`;
    })}</tbody></table>`;
}

customElements.define("nodes-page", NodesPage);
