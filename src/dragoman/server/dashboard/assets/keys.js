// Keys: the clients' keys and teams, what they may use and have used, and who changed them.

import { Page, access, ago, copies, element, get, html, icon, moment, notice, render, send } from "/dashboard/lib.js";

const TABS = { keys: "Keys", teams: "Teams", audit: "Audit" };
const STATES = { valid: "ready", revoked: "failed", expired: "cancelled" };
const amount = (value) => Number(String(value).replace(/[^0-9.]/g, ""));

class KeysPage extends Page {
  #tab = "keys";

  async open() {
    render(this, html`<div class="head"><h1>Keys</h1><div class="actions"><div class="tabs" role="group" aria-label="What to show">${Object.entries(TABS).map(([name, title]) => html`<button type="button" data-tab="${name}" aria-pressed="${name === "keys"}">${title}</button>`)}</div></div></div>
      <div class="stack"><div id="said" aria-live="polite"></div>
      ${access() === "open" ? notice("This gateway needs no key now. With the first key it needs one, also for this page: start it with --admin-key-file before.") : ""}
      <form class="panel"><div class="body row-form"><label>Name<input name="name" required autocomplete="off" spellcheck="false"></label>
        <label>Budget<input name="budget" placeholder="5usd/month" size="12"></label><label>Requests a minute<input name="rpm" type="number" min="1"></label><label id="team">Team<input name="team" size="12"></label>
        <button class="primary">Create</button></div></form>
      <section class="panel" aria-label="List"><div class="table" id="list"></div></section></div>`);
    this.$(".tabs").addEventListener("click", (event) => event.target.dataset.tab && this.#show(event.target.dataset.tab));
    this.$("form").addEventListener("submit", (event) => this.#create(event));
    this.$("#list").addEventListener("click", (event) => this.#act(event.target.closest("[data-act]")));
    await this.#show("keys");
  }

  async #show(tab) {
    this.#tab = tab;
    for (const one of this.$(".tabs").children) one.setAttribute("aria-pressed", String(one.dataset.tab === tab));
    this.$("form").hidden = tab === "audit";
    this.$("#team").hidden = tab === "teams";
    if (tab === "audit") return render(this.$("#list"), audit((await get("/admin/audit?limit=200")).entries));
    const [found, { limits }] = await Promise.all([get(`/admin/${tab}`), get("/admin/limits")]);
    if (this.isConnected) render(this.$("#list"), table(found[tab], limits, tab));
  }

  async #create(event) {
    event.preventDefault();
    const { name, budget, rpm, team } = Object.fromEntries(new FormData(event.target));
    const body = { name, ...(budget && { budget: [budget] }), ...(rpm && { rpm: Number(rpm) }), ...(team && this.#tab === "keys" && { team }) };
    await this.#try(async () => {
      this.#showSecret(await this.#post(`/admin/${this.#tab}`, body));
      event.target.reset();
    });
  }

  async #act(button) {
    if (!button) return;
    const { act, name } = button.dataset;
    if (act === "revoke" && !confirm(`Revoke the key ${name}? It cannot be taken back.`)) return;
    await this.#try(async () => this.#showSecret(await this.#post(`/admin/keys/${encodeURIComponent(name)}/${act}`, {})));
  }

  #post = async (path, body) => (await send(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) })).json();

  #showSecret({ name, secret }) {
    render(this.$("#said"), secret ? html`<section class="panel"><header><h2>The secret of ${name}</h2><div class="actions"><button type="button" class="small">${icon("copy")}<span>Copy</span></button></div></header><div class="body"><p class="soft">It is shown this once.</p><pre>${secret}</pre></div></section>` : "");
    if (secret) copies(this.$("#said button"), () => secret);
  }

  async #try(action) {
    try {
      await action();
      await this.#show(this.#tab);
    } catch (error) {
      this.$("#said").replaceChildren(element(notice(error.message, "bad")));
    }
  }
}

function table(entries, limits, tab) {
  if (!entries.length) return html`<div class="empty"><p>There are no ${tab} yet.</p></div>`;
  const kind = tab.slice(0, -1);
  return html`<table><thead><tr><th scope="col">Name</th>${kind === "key" ? html`<th scope="col">State</th><th scope="col">Team</th>` : ""}<th scope="col">Limits and budgets</th><th scope="col" class="n">Created</th>${kind === "key" ? html`<th scope="col"><span class="sr">Actions</span></th>` : ""}</tr></thead>
    <tbody>${entries.map((one) => html`<tr><th scope="row" class="break">${one.name}${one.secrets?.length ? html`<br><small class="mono">${one.secrets.map((secret) => `${secret.prefix}…`).join(" ")}</small>` : ""}</th>
      ${kind === "key" ? html`<td><span class="badge ${STATES[one.state] ?? ""}">${one.state}</span></td><td>${one.team ?? "–"}</td>` : ""}
      <td>${use(limits.filter(({ scope }) => scope === `${kind}:${one.name}`))}</td><td class="n soft">${ago(one.created)}</td>
      ${kind === "key" ? html`<td class="n">${one.revoked ? "" : html`<button type="button" class="small" data-act="rotate" data-name="${one.name}" aria-label="Rotate ${one.name}">Rotate</button> <button type="button" class="small danger" data-act="revoke" data-name="${one.name}" aria-label="Revoke ${one.name}">Revoke</button>`}</td>` : ""}</tr>`)}</tbody></table>`;
}

const use = (limits) => limits.length === 0 ? html`<span class="soft">none</span>` : limits.map(({ unit, limit, used }) =>
  html`<div>${used} <span class="soft">of ${limit}, ${unit}</span><meter min="0" max="${amount(limit)}" value="${amount(used)}" aria-label="${unit}"></meter></div>`);

const audit = (entries) => entries.length === 0 ? html`<div class="empty"><p>Nothing was changed yet.</p></div>` :
  html`<table><thead><tr><th scope="col">When</th><th scope="col">Who</th><th scope="col">What</th><th scope="col">Values</th></tr></thead><tbody>${entries.map((one) =>
    html`<tr><td>${moment(one.at)}</td><td>${one.actor}</td><th scope="row">${one.action} ${one.kind} ${one.name}</th><td class="break"><code>${JSON.stringify(one.detail)}</code></td></tr>`)}</tbody></table>`;

customElements.define("keys-page", KeysPage);
