// Usage: what was spent, by day, model and client.

import "/dashboard/charts.js";
import { Page, access, count, dollars, get, html, notice, percent, render, tile } from "/dashboard/lib.js";

const RANGES = { 1: "Today", 7: "7 days", 30: "30 days" };
const MEASURES = { cost: ["Cost", dollars], tokens: ["Tokens", count], runs: ["Runs", count] };
const GROUPS = { model: "Model", key: "Client" };
const MAX_SERIES = 5;

const day_of = (time) => new Date(time * 1000).toLocaleDateString("sv");

/** Return rows of the ledger, or sums over the newest runs from a gateway that has none. */
async function load(days) {
  if (isMember()) {
    const { key, rows } = await get(`/usage?by=day,model&since=${days}d`);
    return { rows: rows.map((row) => ({ ...row, key })) };
  }
  try {
    return { rows: (await get(`/admin/usage?by=day,model,key&since=${days}d`)).rows };
  } catch (error) {
    if (error.status !== 404) throw error;
  }
  const { runs, more } = await get(`/admin/runs?limit=500&since=${days}d`);
  const rows = runs.filter((run) => run.usage).map((run) => ({ day: day_of(run.created), model: run.model, key: run.client, runs: 1, cost: run.cost,
    input_tokens: run.usage.input_tokens ?? 0, cache_read_tokens: run.usage.cache_read_input_tokens ?? 0,
    cache_write_tokens: run.usage.cache_creation_input_tokens ?? 0, output_tokens: run.usage.output_tokens ?? 0 }));
  return { rows, note: more ? "These are the newest 500 runs." : "" };
}

const isMember = () => access() === "member";
const prompt = (row) => row.input_tokens + row.cache_read_tokens + row.cache_write_tokens;
const measure = { cost: (row) => row.cost, tokens: (row) => prompt(row) + row.output_tokens, runs: (row) => row.runs };
const sum = (rows, of) => rows.reduce((total, row) => total + of(row), 0);

class UsagePage extends Page {
  #rows = [];
  #days = 7;
  #measure = "cost";
  #group = "model";

  async open() {
    const tabs = (id, label, names, current) => html`<div class="tabs" role="group" aria-label="${label}" id="${id}">${Object.entries(names).map(([value, name]) => html`<button type="button" data-value="${value}" aria-pressed="${value === String(current)}">${name}</button>`)}</div>`;
    const measures = Object.fromEntries(Object.entries(MEASURES).map(([name, [title]]) => [name, title]));
    render(this, html`<div class="head"><h1>Usage</h1><div class="actions">${tabs("days", "Period", RANGES, this.#days)}</div></div>
      <div class="stack"><div id="note"></div><dl class="panel tiles" id="tiles"></dl>
      <section class="panel" aria-label="Usage by day"><header><h2>By day</h2><div class="actions">${isMember() ? "" : tabs("group", "Split by", GROUPS, this.#group)}${tabs("measure", "Measure", measures, this.#measure)}</div></header><div class="body"><d-chart></d-chart></div></section>
      <div class="split"><section class="panel" aria-label="By model"><header><h2>Models</h2></header><div class="table" id="model"></div></section>
      <section class="panel" aria-label="By client"><header><h2>Clients</h2></header><div class="table" id="key"></div></section></div></div>`);
    this.#choose("days", async (value) => this.#load((this.#days = Number(value))));
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
    const { rows, note } = await load(this.#days);
    if (!this.isConnected) return;
    this.#rows = rows;
    render(this.$("#note"), note ? notice(note) : "");
    this.#draw();
  }

  #draw() {
    const rows = this.#rows;
    const today = rows.filter((row) => row.day === day_of(Date.now() / 1000));
    const spent = sum(rows, measure.cost);
    const read = sum(rows, (row) => row.cache_read_tokens);
    const all = sum(rows, prompt);
    const days = new Set(rows.map((row) => row.day)).size;
    render(this.$("#tiles"), [
      tile("Spent", dollars(spent), RANGES[this.#days].toLowerCase()),
      tile("Today", dollars(sum(today, measure.cost)), `${count(sum(today, measure.runs))} runs`),
      tile("Forecast", dollars(days ? (spent / days) * 30 : 0), "30 days at this rate"),
      tile("Tokens", count(all + sum(rows, (row) => row.output_tokens)), `${count(sum(rows, (row) => row.output_tokens))} of them output`),
      tile("From the cache", percent(all ? read / all : 0), "of all input"),
    ]);
    this.#drawChart();
    for (const name of Object.keys(GROUPS)) render(this.$(`#${name}`), table(rows, name));
  }

  #drawChart() {
    const now = Date.now() / 1000;
    const days = Array.from({ length: Math.max(this.#days, 7) }, (_, i) => day_of(now - (Math.max(this.#days, 7) - 1 - i) * 86_400));
    const of = measure[this.#measure];
    const [title, format] = MEASURES[this.#measure];
    const names = [...grouped(this.#rows, this.#group)].sort((a, b) => sum(b[1], of) - sum(a[1], of)).map(([name]) => name);
    const shown = names.length > MAX_SERIES + 1 ? names.slice(0, MAX_SERIES) : names;
    const series = shown.map((name, i) => ({ name, color: i + 1, values: days.map((day) => sum(this.#rows.filter((row) => row.day === day && row[this.#group] === name), of)) }));
    if (shown.length < names.length) series.push({ name: "others", color: 6, values: days.map((day) => sum(this.#rows.filter((row) => row.day === day && !shown.includes(row[this.#group])), of)) });
    const labels = days.map((day) => new Date(`${day}T12:00`).toLocaleDateString("en", { month: "short", day: "numeric" }));
    this.$("d-chart").data = { title: `${title} by day`, labels, series: series.length ? series : [{ name: title, color: 1, values: days.map(() => 0) }], format, kind: "bars", height: 230 };
  }
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
