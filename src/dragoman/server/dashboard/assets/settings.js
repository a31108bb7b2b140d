// Settings: what this gateway runs with.

import { Page, get, html, render } from "/dashboard/lib.js";

class SettingsPage extends Page {
  #settings = [];

  async open() {
    render(this, html`<div class="head"><h1>Settings</h1><div class="actions"><div class="tabs" role="group" aria-label="Which settings"><button type="button" data-all="" aria-pressed="true">Changed</button><button type="button" data-all="1" aria-pressed="false">All</button></div>
      <input type="search" placeholder="Filter" aria-label="Filter settings"></div></div>
      <div class="stack"><p class="soft">What this gateway runs with. <code>dragoman config</code> also shows where each value comes from.</p><div class="stack" id="groups"></div></div>`);
    this.#settings = (await get("/admin/settings")).settings;
    if (!this.isConnected) return;
    this.$("input").addEventListener("input", () => this.#draw());
    this.$(".tabs").addEventListener("click", (event) => {
      const button = event.target.closest("button");
      for (const one of this.$(".tabs").children) one.setAttribute("aria-pressed", String(one === (button ?? one)));
      this.#draw();
    });
    this.#draw();
  }

  #draw() {
    const word = this.$("input").value.trim().toLowerCase();
    const isAll = word || this.$("[data-all='1']").getAttribute("aria-pressed") === "true";
    const shown = this.#settings.filter((one) => (isAll || !one.default) && `${one.name} ${one.description}`.toLowerCase().includes(word));
    const groups = [...new Set(shown.map((one) => one.group))];
    render(this.$("#groups"), groups.length ? groups.map((group) => html`<section class="panel" aria-label="${group}"><header><h2>${group}</h2></header><div class="table"><table><thead class="sr"><tr><th scope="col">Setting</th><th scope="col">Value</th></tr></thead><tbody>
      ${shown.filter((one) => one.group === group).map((one) => html`<tr><th scope="row"><code>${one.name}</code><br><small>${one.description.replaceAll("`", "")}</small></th><td class="n"><code>${value(one)}</code>${one.default ? html`<br><small>default</small>` : ""}</td></tr>`)}</tbody></table></div></section>`)
      : html`<section class="panel empty"><p>${word ? "No setting matches." : "Every setting has its default."}</p></section>`);
  }
}

function value({ value: given, secret }) {
  if (secret) return given ? "set" : "not set";
  if (given === null || given === "" || (Array.isArray(given) && !given.length)) return "–";
  if (typeof given === "boolean") return given ? "on" : "off";
  if (Array.isArray(given)) return given.join(", ");
  return typeof given === "object" ? JSON.stringify(given) : String(given);
}

customElements.define("settings-page", SettingsPage);
