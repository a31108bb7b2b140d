// Plan: the limits of the operator's own plan, as Claude Code reports them.

import { Page, ago, duration, get, html, icon, notice, percent, render, soon } from "/dashboard/lib.js";

const WINDOWS = { five_hour: "5 hours", seven_day: "7 days", seven_day_opus: "7 days, Opus", seven_day_sonnet: "7 days, Sonnet", overage: "Extra usage" };
const STATES = { allowed: ["ready", "within the limit"], allowed_warning: ["cancelled", "nearly used up"], rejected: ["failed", "used up"] };

class PlanPage extends Page {
  async open() {
    render(this, html`<div class="head"><h1>Plan</h1><div class="actions"><button type="button" id="refresh">${icon("refresh")}<span>Refresh</span></button></div></div><div class="stack" id="plans" aria-live="polite"></div>`);
    this.$("#refresh").addEventListener("click", () => this.load(() => this.#load()));
    await this.#load();
  }

  async #load() {
    const { plans } = await get("/admin/plan");
    if (this.isConnected) render(this.$("#plans"), plans.length ? plans.map(plan_view) : NO_PLAN);
  }
}

const NO_PLAN = html`<section class="panel empty"><h2>No plan</h2><p>This gateway uses no Claude Code sign-in, so there are no limits of a plan. What it costs is on the page <a href="#/usage">Usage</a>.</p></section>`;

function plan_view({ upstream, reported, windows }) {
  const title = upstream ?? "Your sign-in";
  if (!reported) return html`<section class="panel" aria-label="${title}"><header><h2>${title}</h2></header><div class="empty"><p>Claude Code reports the limits with its first response. Send a request, for example from the <a href="#/playground">playground</a>.</p></div></section>`;
  const isUsedUp = windows.some((one) => one.status === "rejected" && !isOver(one));
  return html`${isUsedUp ? notice("A limit of the plan is used up: Claude refuses requests until it resets.", "bad") : ""}
    <section class="panel" aria-label="${title}"><header><h2>${title}</h2><span class="soft">reported by Claude Code ${ago(reported)}</span></header>
    ${windows.length ? html`<dl class="tiles plain">${windows.map(window_view)}</dl>` : html`<div class="body"><p class="soft">Claude Code named no limit.</p></div>`}</section>`;
}

const isOver = ({ resets }) => resets !== null && resets * 1000 < Date.now();

function window_view(one) {
  const name = WINDOWS[one.name] ?? one.name.replaceAll("_", " ");
  if (isOver(one)) return html`<div class="tile"><dt>${name}</dt><dd>reset</dd><dd class="note">at ${soon(one.resets)}; the next response brings new numbers</dd></div>`;
  const [kind, text] = STATES[one.status] ?? ["queued", one.status ?? "not known"];
  const left = one.used === null ? html`<small>not reported</small>` : html`${percent(Math.max(0, 1 - one.used))} <small>left</small>`;
  const meter = one.used === null ? "" : html`<meter min="0" max="1" value="${one.used}" aria-label="Used of ${name}"></meter>`;
  const when = one.resets === null ? "" : html`<dd class="note">resets in ${duration(one.resets - Date.now() / 1000)}, at ${soon(one.resets)}</dd>`;
  return html`<div class="tile"><dt>${name}</dt><dd>${left}${meter}</dd><dd class="note"><span class="badge ${kind}">${text}</span></dd>${when}</div>`;
}

customElements.define("plan-page", PlanPage);
