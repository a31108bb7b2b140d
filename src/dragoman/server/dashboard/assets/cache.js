// Cache: how much of the input came from Claude's cache, and why not more.

import { share } from "/dashboard/charts.js";
import { Page, ago, count, get, html, percent, render, tile, tokens } from "/dashboard/lib.js";

const SHOWN = 60;

class CachePage extends Page {
  async open() {
    render(this, html`<div class="head"><h1>Cache</h1></div><div class="stack"><dl class="panel tiles" id="tiles"></dl>
      <section class="panel" aria-label="Input by run"><header><h2>Input of the newest runs</h2></header><div class="body"><d-chart></d-chart></div></section>
      <section class="panel" aria-label="Why the cache was not read"><header><h2>Why the cache was not read</h2></header><div class="table" id="reasons"></div></section>
      <section class="panel" aria-label="By model"><header><h2>Models</h2></header><div class="table" id="models"></div></section></div>`);
    const runs = (await get("/admin/runs?limit=500")).runs.filter((run) => run.usage);
    if (!this.isConnected) return;
    const all = total(runs);
    const reused = runs.filter((run) => tokens(run).read > 0).length;
    render(this.$("#tiles"), [
      tile("From the cache", percent(all.prompt ? all.read / all.prompt : 0), "of all input"),
      tile("Read", html`${count(all.read)} <small>tokens</small>`, "a tenth of the price or less"),
      tile("Written", html`${count(all.written)} <small>tokens</small>`, "more than the plain price"),
      tile("Neither", html`${count(all.input)} <small>tokens</small>`, "the plain price"),
      tile("Runs that read", html`${reused} <small>of ${runs.length}</small>`, "the newest runs"),
    ]);
    this.#draw(runs.slice(0, SHOWN).reverse());
    render(this.$("#models"), models(runs));
    render(this.$("#reasons"), reasons(runs));
  }

  #draw(runs) {
    const parts = runs.map(tokens);
    const labels = runs.map((run) => ago(run.created));
    this.$("d-chart").data = { title: "Input of each run", labels, titles: runs.map((run) => `${run.model.replace(/^claude-/, "")}, ${ago(run.created)}`), format: count, kind: "bars", height: 220,
      series: [["Read", "read", 3], ["Written", "written", 5], ["Neither", "input", 6]].map(([name, key, color]) => ({ name, color, values: parts.map((part) => part[key]) })) };
  }
}

function total(runs) {
  const sums = { input: 0, read: 0, written: 0, output: 0, prompt: 0 };
  for (const run of runs) for (const [name, amount] of Object.entries(tokens(run))) sums[name] += amount;
  return sums;
}

function models(runs) {
  const names = [...new Set(runs.map((run) => run.model))];
  if (!names.length) return html`<div class="body"><p class="soft">No run has counted tokens yet.</p></div>`;
  return html`<table><thead><tr><th scope="col">Model</th><th scope="col">Input</th><th scope="col" class="n">From the cache</th></tr></thead><tbody>${names.map((name) => {
    const { read, written, input, prompt } = total(runs.filter((run) => run.model === name));
    const text = percent(prompt ? read / prompt : 0);
    return html`<tr><th scope="row" class="break">${name}</th><td>${share([["Read", read, 3], ["Written", written, 5], ["Neither", input, 6]], `${text} read from the cache`)}</td><td class="n">${text}</td></tr>`;
  })}</tbody></table>`;
}

const TITLES = { first_turn: "First turn", account: "Another upstream", model: "Another model", tools: "Tools changed", system: "System prompt changed", options: "An option changed", message: "An earlier message changed", mark: "Cache marks moved", expired: "Time passed", unknown: "Unknown" };

function reasons(runs) {
  const missed = runs.filter((run) => run.cache?.reason);
  if (!missed.length) return html`<div class="body"><p class="soft">Every run has read all that was cached before it.</p></div>`;
  const found = Object.keys(TITLES).map((reason) => [reason, missed.filter((run) => run.cache.reason === reason)]).filter(([, some]) => some.length);
  const lost = (some) => some.reduce((sum, { cache }) => sum + Math.max(0, (cache.expected ?? 0) - cache.read), 0);
  return html`<table><thead><tr><th scope="col">Reason</th><th scope="col" class="n">Runs</th><th scope="col" class="n">Tokens not read</th><th scope="col">Newest</th></tr></thead><tbody>${found.sort(([, a], [, b]) => lost(b) - lost(a) || b.length - a.length).map(([reason, some]) => html`<tr>
    <th scope="row">${TITLES[reason]}<p class="soft">${some[0].cache.detail}</p></th><td class="n">${count(some.length)}</td><td class="n">${count(lost(some))}</td><td><a href="#/runs/${some[0].id}">${ago(some[0].created)}</a>${some[0].cache.part && some[0].cache.part !== reason ? html` <code>${some[0].cache.part}</code>` : ""}</td></tr>`)}</tbody></table>`;
}

customElements.define("cache-page", CachePage);
