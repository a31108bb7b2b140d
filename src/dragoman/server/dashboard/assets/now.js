// Now: the runs as they come, the queue and the processes.

import "/dashboard/charts.js";
import { Page, access, ago, badge, copies, count, curl, dollars, duration, element, follow, get, html, icon, isOpen, notice, render, send, tile, tokens, took } from "/dashboard/lib.js";

const MINUTES = 30;
const PAGE_SIZE = 200;
const MAX_ROWS = 2000;
const FILTERS = { all: "All", succeeded: "Succeeded", failed: "Failed", cancelled: "Cancelled" };
const EXAMPLE = { model: "sonnet", messages: [{ role: "user", content: "Reply with exactly: PONG" }] };

class NowPage extends Page {
  #runs = new Map();
  #rows = new Map();
  #state = null;
  #filter = { status: "all", text: "" };
  #more = false;
  #isLoading = false;
  #limit = MAX_ROWS;

  open() {
    render(this, html`
      <div class="head"><h1>Now</h1><span class="badge queued" id="link">connecting</span></div>
      <div class="stack">
        <div id="reason"></div>
        <dl class="panel tiles" id="tiles"></dl>
        <section class="panel" aria-label="Live runs" id="live-panel" hidden><header><h2>Live</h2><span class="tag" id="live-count"></span></header><ol class="runs" id="live"></ol></section>
        <section class="panel" aria-label="Recent runs"><header><h2>Recent</h2><div class="actions">
            <input type="search" id="text" placeholder="Filter" aria-label="Filter by model, client or error" size="18">
            <select id="status" aria-label="Filter by status">${Object.entries(FILTERS).map(([value, name]) => html`<option value="${value}">${name}</option>`)}</select></div></header>
          <div class="runs-head" aria-hidden="true"><span>Status</span><span>Model</span><span>From</span><span class="n">Tokens</span><span class="n">Cost</span><span class="n">Time</span><span class="n">Started</span></div>
          <ol class="runs" id="recent"></ol><div class="more" id="more" hidden></div><div id="empty"></div></section>
      </div>`);
    this.$("#text").addEventListener("input", (event) => this.#choose({ text: event.target.value.trim().toLowerCase() }));
    this.$("#status").addEventListener("change", (event) => this.#choose({ status: event.target.value }));
    this.addEventListener("click", (event) => this.#cancel(event));
    const observer = new IntersectionObserver(([entry]) => entry.isIntersecting && this.#loadMore(), { rootMargin: "600px" });
    observer.observe(this.$("#more"));
    this.cleanup(() => observer.disconnect());
    this.every(1, () => this.#tick());
    follow(this, "/admin/events?limit=100", {
      snapshot: ({ state, runs, more }) => this.#begin(state, runs, more),
      runs: ({ runs, missed }) => this.#change(runs, missed),
      state: (state) => this.#showState(state),
      lost: () => this.#link("connection lost, trying again", "failed"),
    });
  }

  #begin(state, runs, more) {
    this.#runs.clear();
    this.#rows.clear();
    this.$("#live").replaceChildren();
    this.$("#recent").replaceChildren();
    this.#more = more;
    for (const run of runs) this.#place(run, false);
    this.#showState(state);
    this.#showEmpty();
  }

  #change(runs, missed) {
    for (const run of runs) this.#place(run, true);
    this.#drop();
    if (missed) this.#link(`${missed} changes were left out: too many at once`, "cancelled");
    this.#showEmpty();
    this.#showTiles();
  }

  #showState(state) {
    this.#state = state;
    this.#link(state.ready ? "ready" : "not ready", state.ready ? "ready" : "failed");
    render(this.$("#reason"), state.reason ? notice(state.reason, "bad") : "");
    this.#showTiles();
  }

  #link(text, kind) {
    const link = this.$("#link");
    link.className = `badge ${kind}`;
    link.textContent = text;
  }

  #showTiles() {
    const { running, places, queued, queue_size: size, backend, simulator, processes } = this.#state;
    const since = Date.now() / 1000 - MINUTES * 60;
    const recent = [...this.#runs.values()].filter((run) => run.created > since);
    const cost = recent.reduce((sum, run) => sum + (run.cost ?? 0), 0);
    const first = recent.map((run) => run.stages.first_token).filter(Boolean).sort((a, b) => a - b);
    const warm = processes ? Object.entries(processes).filter(([name]) => name !== "all").map(([name, n]) => `${n} ${name}`).join(", ") : "";
    render(this.$("#tiles"), [
      tile("Running", html`${running} <small>of ${places}</small>`, "", html`<meter min="0" max="${places}" value="${running}" aria-label="Slots in use"></meter>`),
      tile("In the queue", html`${queued} <small>of ${size}</small>`, queued ? "" : "no one waits"),
      tile("Backend", backend, warm || (simulator ? "simulated, no account" : "")),
      tile("First token", duration(first[Math.floor(first.length / 2)]), `median, last ${MINUTES} min`),
      tile("Spent", dollars(cost), `${recent.length} runs, last ${MINUTES} min`),
      html`<div class="tile"><dt>Runs a minute</dt><dd><d-chart></d-chart></dd></div>`,
    ]);
    this.#drawActivity(recent);
  }

  #drawActivity(recent) {
    const now = Math.floor(Date.now() / 60_000);
    const good = Array(MINUTES).fill(0);
    const bad = Array(MINUTES).fill(0);
    for (const run of recent) {
      const at = MINUTES - 1 - (now - Math.floor(run.created / 60));
      if (at >= 0 && at < MINUTES) (run.status === "failed" ? bad : good)[at] += 1;
    }
    const labels = good.map((_, i) => (i === MINUTES - 1 ? "this minute" : `${MINUTES - 1 - i} min ago`));
    this.$("d-chart").data = { title: "Runs a minute", labels, format: count, kind: "bars", height: 46, bare: true,
      series: [{ name: "Runs", values: good, color: 1 }, { name: "Failed", values: bad, color: "bad" }] };
  }

  #matches(run) {
    const { status, text } = this.#filter;
    const words = `${run.model} ${run.client} ${run.error ?? ""} ${run.endpoint ?? ""} ${run.id}`.toLowerCase();
    return (status === "all" || run.status === status) && words.includes(text);
  }

  #place(run, isNew) {
    this.#runs.set(run.id, run);
    const row = row_of(run);
    const before = this.#rows.get(run.id);
    this.#rows.set(run.id, row);
    row.hidden = !isOpen(run) && !this.#matches(run);
    if (before && before.parentElement?.id === (isOpen(run) ? "live" : "recent")) before.replaceWith(row);
    else {
      before?.remove();
      const list = this.$(isOpen(run) ? "#live" : "#recent");
      if (isNew) {
        row.classList.add("new");
        list.prepend(row);
      } else list.append(row);
    }
  }

  /** A page that stays open drops its oldest rows. They come again when it is scrolled to its end. */
  #drop() {
    const recent = this.$("#recent");
    while (this.#rows.size > this.#limit && recent.childElementCount > PAGE_SIZE) {
      const { id } = recent.lastElementChild.dataset;
      recent.lastElementChild.remove();
      this.#rows.delete(id);
      this.#runs.delete(id);
      this.#more = true;
    }
  }

  #showEmpty() {
    const live = this.$("#live").childElementCount;
    this.$("#live-panel").hidden = !live;
    this.$("#live-count").textContent = live;
    const more = this.$("#more");
    more.hidden = !this.#more;
    more.textContent = "Loading more…";
    const isFirst = !this.#runs.size;
    const isEmpty = isFirst || ![...this.$("#recent").children].some((row) => !row.hidden);
    this.$(".runs-head").hidden = isEmpty;
    if (!isEmpty || (live && isFirst)) return render(this.$("#empty"), "");
    if (!isFirst) return render(this.$("#empty"), html`<div class="empty"><p>No run matches.</p></div>`);
    const command = curl("/v1/chat/completions", EXAMPLE, access() === "signed-in");
    render(this.$("#empty"), html`<div class="empty"><h2>No requests yet</h2><p>Send one from a terminal, or from the <a href="#/playground">playground</a>. It appears here at once.</p><pre>${command}</pre><button type="button" id="copy">${icon("copy")}<span>Copy</span></button></div>`);
    copies(this.$("#copy"), () => command);
  }

  #tick() {
    for (const [id, row] of this.#rows) {
      const run = this.#runs.get(id);
      if (isOpen(run)) row.querySelector(".took").textContent = duration(took(run));
    }
    this.#ticks = (this.#ticks + 1) % 20;
    if (!this.#ticks) for (const [id, row] of this.#rows) row.querySelector(".when").textContent = ago(this.#runs.get(id).created);
  }

  #ticks = 0;

  #choose(change) {
    Object.assign(this.#filter, change);
    for (const [id, row] of this.#rows) row.hidden = !isOpen(this.#runs.get(id)) && !this.#matches(this.#runs.get(id));
    this.#showEmpty();
  }

  async #loadMore() {
    if (this.#isLoading || !this.#more) return;
    this.#isLoading = true;
    const last = this.$("#recent").lastElementChild ?? this.$("#live").lastElementChild;
    try {
      const { runs, more } = await get(`/admin/runs?limit=${PAGE_SIZE}&after=${last.dataset.id}`);
      for (const run of runs) if (!this.#runs.has(run.id)) this.#place(run, false);
      this.#more = more;
      this.#limit = Math.max(this.#limit, this.#rows.size + PAGE_SIZE);
    } finally {
      this.#isLoading = false;
      this.#showEmpty();
    }
  }

  async #cancel(event) {
    const button = event.target.closest("[data-cancel]");
    if (!button) return;
    button.disabled = true;
    await send(`/admin/runs/${button.dataset.cancel}/cancel`, { method: "POST" }).catch((error) => (button.title = error.message));
  }
}

const row_of = (run) => {
  const { prompt, output } = tokens(run);
  const reason = run.error ?? run.reason;
  return element(html`<li data-id="${run.id}"><a class="run" href="#/runs/${run.id}">
    ${badge(run.status)}<span>${run.model.replace(/^claude-/, "")}${run.upstream ? html` <span class="soft">on ${run.upstream}</span>` : ""}</span>
    <span class="where">${reason ? html`<span class="${run.error ? "error" : "soft"}">${reason}</span>` : html`${run.client} <span class="soft">${run.endpoint?.replace(/^\/v1\//, "") ?? ""}</span>`}</span>
    <span class="n tok">${run.usage ? html`${count(prompt)} <span class="soft">→</span> ${count(output)}` : ""}</span>
    <span class="n cost">${run.cost === null ? "" : dollars(run.cost)}</span><span class="n took">${duration(took(run))}</span>
    <span class="n when soft">${ago(run.created)}</span></a>${isOpen(run) ? html`<button type="button" class="small danger" data-cancel="${run.id}" aria-label="Cancel ${run.id}">Cancel</button>` : ""}</li>`);
};

customElements.define("now-page", NowPage);
