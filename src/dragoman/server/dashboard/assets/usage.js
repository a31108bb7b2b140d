// Usage: what was spent, by day, model and client, and what is left of the budgets. Days are those of UTC, as in the ledger.

import "/dashboard/charts.js";
import { Page, access, count, dollars, get, html, notice, percent, render, soon, tile } from "/dashboard/lib.js";

const RANGES = { 1: "Today", 7: "7 days", 30: "30 days" };
const MEASURES = { cost: ["Cost", dollars], tokens: ["Tokens", count], runs: ["Runs", count] };
const GROUPS = { model: "Model", key: "Client" };
const MAX_SERIES = 5;
const DAYS = 31;
const DAY = 86_400;

const day_of = (time) => new Date(time * 1000).toISOString().slice(0, 10);
const day_before = (days) => day_of(Date.now() / 1000 - days * DAY);

/** Return rows of the ledger with limits, or sums over the newest runs from a gateway that has none. */
async function load() {
  const since = `since=${day_before(DAYS)}T00:00:00Z`;
  if (isMember()) {
    const { key, rows, limits } = await get(`/usage?by=day,model&${since}`);
    return { rows: rows.map((row) => ({ ...row, key })), limits };
  }
  try {
    return await get(`/admin/usage?by=day,model,key&${since}`);
  } catch (error) {
    if (error.status !== 404) throw error;
  }
  const { runs, more } = await get(`/admin/runs?limit=500&${since}`);
  const rows = runs.filter((run) => run.usage).map((run) => ({ day: day_of(run.created), model: run.model, key: run.client, runs: 1, cost: run.cost,
    input_tokens: run.usage.input_tokens ?? 0, cache_read_tokens: run.usage.cache_read_input_tokens ?? 0,
    cache_write_tokens: run.usage.cache_creation_input_tokens ?? 0, output_tokens: run.usage.output_tokens ?? 0 }));
  return { rows, limits: [], note: more ? "These are the newest 500 runs." : "" };
}

const isMember = () => access() === "member";
const prompt = (row) => row.input_tokens + row.cache_read_tokens + row.cache_write_tokens;
const measure = { cost: (row) => row.cost, tokens: (row) => prompt(row) + row.output_tokens, runs: (row) => row.runs };
const sum = (rows, of) => rows.reduce((total, row) => total + of(row), 0);

/** The periods of budgets: the first day of each, and how many days it has. Weeks begin on Monday. */
function periods() {
  const now = new Date();
  const [year, month] = [now.getUTCFullYear(), now.getUTCMonth()];
  return {
    day: { title: "Today", first: day_before(0), days: 1 },
    week: { title: "This week", first: day_before((now.getUTCDay() + 6) % 7), days: 7 },
    month: { title: "This month", first: day_of(Date.UTC(year, month) / 1000), days: new Date(Date.UTC(year, month + 1, 0)).getUTCDate() },
  };
}

class UsagePage extends Page {
  #all = [];
  #limits = [];
  #days = 7;
  #measure = "cost";
  #group = "model";

  async open() {
    const tabs = (id, label, names, current) => html`<div class="tabs" role="group" aria-label="${label}" id="${id}">${Object.entries(names).map(([value, name]) => html`<button type="button" data-value="${value}" aria-pressed="${value === String(current)}">${name}</button>`)}</div>`;
    const measures = Object.fromEntries(Object.entries(MEASURES).map(([name, [title]]) => [name, title]));
    render(this, html`<div class="head"><h1>Usage</h1><div class="actions">${tabs("days", "Period", RANGES, this.#days)}</div></div>
      <div class="stack"><div id="note"></div><dl class="panel tiles" id="tiles"></dl><div id="budgets"></div>
      <section class="panel" aria-label="Usage by day"><header><h2>By day <small>UTC</small></h2><span class="soft" id="spent"></span><div class="actions">${isMember() ? "" : tabs("group", "Split by", GROUPS, this.#group)}${tabs("measure", "Measure", measures, this.#measure)}</div></header><div class="body"><d-chart></d-chart></div></section>
      <div class="split"><section class="panel" aria-label="By model"><header><h2>Models</h2></header><div class="table" id="model"></div></section>
      <section class="panel" aria-label="By client"><header><h2>Clients</h2></header><div class="table" id="key"></div></section></div></div>`);
    this.#choose("days", (value) => this.#draw((this.#days = Number(value))));
    this.#choose("group", (value) => this.#draw((this.#group = value)));
    this.#choose("measure", (value) => this.#draw((this.#measure = value)));
    await this.#load();
  }

  #choose(id, action) {
    this.$(`#${id}`)?.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      for (const one of button.parentElement.children) one.setAttribute("aria-pressed", String(one === button));
      action(button.dataset.value);
    });
  }

  async #load() {
    const { rows, limits, note } = await load();
    if (!this.isConnected) return;
    this.#all = rows;
    this.#limits = limits.filter(({ unit }) => unit.startsWith("dollars/"));
    render(this.$("#note"), note ? notice(note) : "");
    render(this.$("#budgets"), this.#limits.length ? budgets(this.#limits) : "");
    this.#draw();
  }

  get #rows() {
    const first = day_before(this.#days - 1);
    return this.#all.filter((row) => row.day >= first);
  }

  #draw() {
    const found = periods();
    const spent = (first) => sum(this.#all.filter((row) => row.day >= first), measure.cost);
    const rows = this.#rows;
    const read = sum(rows, (row) => row.cache_read_tokens);
    const all = sum(rows, prompt);
    const { first, days } = found.month;
    const elapsed = Math.max(1, (Date.now() - Date.parse(first)) / (DAY * 1000));
    render(this.$("#tiles"), [
      ...Object.entries(found).map(([period, one]) => spent_tile(one, spent(one.first), this.#budget(period))),
      tile("Forecast", dollars((spent(first) / elapsed) * days), "this month at its rate"),
      tile("From the cache", percent(all ? read / all : 0), `of all input, ${RANGES[this.#days].toLowerCase()}`),
    ]);
    this.$("#spent").textContent = `${dollars(sum(rows, measure.cost))}, ${count(sum(rows, measure.tokens))} tokens, ${count(sum(rows, measure.runs))} runs`;
    this.#drawChart();
    for (const name of Object.keys(GROUPS)) render(this.$(`#${name}`), table(rows, name));
  }

  /** Return the budget of all that this page shows: that of the gateway, or of the member's key. */
  #budget(period) {
    return this.#limits.find(({ scope, unit }) => unit === `dollars/${period}` && !scope.includes("/") && (isMember() || scope === "gateway"));
  }

  #drawChart() {
    const length = Math.max(this.#days, 7);
    const days = Array.from({ length }, (_, i) => day_before(length - 1 - i));
    const of = measure[this.#measure];
    const [title, format] = MEASURES[this.#measure];
    const rows = this.#rows;
    const names = [...grouped(rows, this.#group)].sort((a, b) => sum(b[1], of) - sum(a[1], of)).map(([name]) => name);
    const shown = names.length > MAX_SERIES + 1 ? names.slice(0, MAX_SERIES) : names;
    const series = shown.map((name, i) => ({ name, color: i + 1, values: days.map((day) => sum(rows.filter((row) => row.day === day && row[this.#group] === name), of)) }));
    if (shown.length < names.length) series.push({ name: "others", color: 6, values: days.map((day) => sum(rows.filter((row) => row.day === day && !shown.includes(row[this.#group])), of)) });
    const labels = days.map((day) => new Date(`${day}T12:00`).toLocaleDateString("en", { month: "short", day: "numeric" }));
    this.$("d-chart").data = { title: `${title} by day`, labels, series: series.length ? series : [{ name: title, color: 1, values: days.map(() => 0) }], format, kind: "bars", height: 230 };
  }
}

const amount = (text) => Number(text.replace(/[^0-9.]/g, ""));
const meter = ({ used, limit }, label) => html`<meter min="0" max="${amount(limit)}" value="${amount(used)}" aria-label="${label}"></meter>`;

function spent_tile({ title }, spent, budget) {
  return tile(title, dollars(spent), budget ? `of ${dollars(amount(budget.limit))}, ${dollars(amount(budget.left))} left` : "no budget", budget ? meter(budget, `Budget, ${title.toLowerCase()}`) : "");
}

function budgets(limits) {
  const found = periods();
  const rows = limits.map((one) => {
    const period = one.unit.split("/")[1];
    const remaining = one.renewed ? (Date.parse(one.renewed) / 1000 - Date.now() / 1000) / (found[period].days * DAY) : 0;
    const share = Math.min(1, Math.max(0.01, 1 - remaining));
    const expected = amount(one.used) / share;
    return html`<tr><th scope="row" class="break">${one.scope}</th><td>a ${period}</td><td>${dollars(amount(one.used))} <span class="soft">of ${dollars(amount(one.limit))}</span>${meter(one, `Budget of ${one.scope}`)}</td><td class="n">${dollars(amount(one.left))}</td>
      <td class="n ${expected > amount(one.limit) ? "error" : ""}">${dollars(expected)}</td><td class="n">${one.renewed ? soon(Date.parse(one.renewed) / 1000) : ""}</td></tr>`;
  });
  return html`<section class="panel" aria-label="Budgets"><header><h2>Budgets</h2></header><div class="table"><table><thead><tr><th scope="col">Of</th><th scope="col">Period</th><th scope="col">Used</th><th scope="col" class="n">Left</th><th scope="col" class="n">At this rate</th><th scope="col" class="n">Resets</th></tr></thead><tbody>${rows}</tbody></table></div></section>`;
}

function grouped(rows, name) {
  const groups = new Map();
  for (const row of rows) groups.set(row[name], [...(groups.get(row[name]) ?? []), row]);
  return groups;
}

function table(rows, name) {
  if (!rows.length) return html`<div class="body"><p class="soft">Nothing in this period.</p></div>`;
  const groups = [...grouped(rows, name)].sort((a, b) => sum(b[1], measure.cost) - sum(a[1], measure.cost));
  return html`<table><thead><tr><th scope="col">${GROUPS[name]}</th><th scope="col" class="n">Runs</th><th scope="col" class="n">Tokens</th><th scope="col" class="n">Cost</th></tr></thead>
    <tbody>${groups.map(([key, members]) => html`<tr><th scope="row" class="break">${key}</th><td class="n">${count(sum(members, measure.runs))}</td><td class="n">${count(sum(members, measure.tokens))}</td><td class="n">${dollars(sum(members, measure.cost))}</td></tr>`)}</tbody></table>`;
}

customElements.define("usage-page", UsagePage);
