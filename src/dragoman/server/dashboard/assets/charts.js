// Charts as SVG: stacked bars and lines over one axis of labels, with a legend, a tooltip, keys, and a table.

import { html, render } from "/dashboard/lib.js";

const LEFT = 52;
const BOTTOM = 22;
const TOP = 8;

/** Return round steps of an axis up to a maximum. */
export function steps(maximum, wanted = 4) {
  if (!(maximum > 0)) return [0, 1];
  const rough = maximum / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough) * power;
  return Array.from({ length: Math.ceil(maximum / step - 1e-9) + 1 }, (_, index) => index * step);
}

/**
 * Set `data` to `{title, labels, series: [{name, values, color}], format, kind: "bars" | "lines", height}`.
 * `color` is 1 to 6, or `bad`.
 */
class Chart extends HTMLElement {
  #data = null;
  #at = -1;
  #observer = new ResizeObserver(() => this.#draw());

  set data(data) {
    this.#data = data;
    this.#at = -1;
    this.#build();
  }

  connectedCallback() {
    this.#observer.observe(this);
  }

  disconnectedCallback() {
    this.#observer.disconnect();
  }

  #build() {
    const { title, labels, series, format, bare } = this.#data;
    const isLong = series.length > 1;
    render(this, html`
      ${isLong && !bare ? html`<div class="legend">${series.map((one) => html`<span><i class="s${one.color}"></i>${one.name}</span>`)}</div>` : ""}
      <div role="group" tabindex="0" aria-label="${title}. Use the arrow keys to read the values."></div>
      <div class="tip" hidden></div><div class="sr" aria-live="polite"></div>
      ${bare ? "" : html`<details><summary>Table</summary><div class="table"><table><thead><tr><th scope="col">${title}</th>
        ${series.map((one) => html`<th scope="col" class="n">${one.name}</th>`)}</tr></thead>
        <tbody>${labels.map((label, i) => html`<tr><th scope="row">${label}</th>${series.map((one) => html`<td class="n">${format(one.values[i])}</td>`)}</tr>`)}</tbody></table></div></details>`}`);
    const plot = this.querySelector("[role=group]");
    plot.addEventListener("pointermove", (event) => this.#point(event));
    plot.addEventListener("pointerleave", () => this.#select(-1));
    plot.addEventListener("blur", () => this.#select(-1));
    plot.addEventListener("keydown", (event) => this.#key(event));
    this.#draw();
  }

  #draw() {
    const plot = this.querySelector("[role=group]");
    const width = this.clientWidth;
    if (!plot || !width) return;
    const { labels, series, kind, format, height = 200, bare } = this.#data;
    const left = bare ? 0 : LEFT;
    const bottom = bare ? 0 : BOTTOM;
    const totals = labels.map((_, i) => (kind === "lines" ? Math.max(...series.map((one) => one.values[i])) : series.reduce((sum, one) => sum + one.values[i], 0)));
    const marks = steps(Math.max(...totals, 0));
    const top = marks.at(-1);
    const inner = height - TOP - bottom;
    const slot = (width - left) / Math.max(labels.length, 1);
    const y = (value) => TOP + inner - (value / top) * inner;
    const every = Math.max(1, Math.ceil(labels.length / Math.floor((width - left) / 64)));
    const axis = bare ? "" : html`${marks.map((mark) => html`<line x1="${left}" x2="${width}" y1="${y(mark)}" y2="${y(mark)}"/><text x="${left - 8}" y="${y(mark) + 4}" text-anchor="end">${format(mark)}</text>`)}
      ${labels.map((label, i) => i % every === 0 ? html`<text x="${left + slot * (i + 0.5)}" y="${height - 5}" text-anchor="middle">${label}</text>` : "")}`;
    const shapes = kind === "lines" ? this.#lines(series, left, slot, y) : this.#bars(labels, series, left, slot, y);
    const hits = labels.map((_, i) => html`<rect class="hit" x="${left + slot * i}" y="${TOP}" width="${slot}" height="${inner}"/>`);
    render(plot, html`<svg width="${width}" height="${height}" aria-hidden="true">${axis}${hits}${shapes}</svg>`);
    this.#geometry = { left, slot };
  }

  #geometry = { left: 0, slot: 1 };

  #bars(labels, series, left, slot, y) {
    const width = Math.max(1, Math.min(slot * 0.72, 44));
    return labels.map((_, i) => {
      let sum = 0;
      return series.map((one) => {
        const from = y(sum);
        sum += one.values[i];
        const size = from - y(sum);
        return size > 0 ? html`<rect class="s${one.color}" x="${left + slot * (i + 0.5) - width / 2}" y="${y(sum)}" width="${width}" height="${Math.max(size, 1)}" rx="${Math.min(2, size / 2)}"/>` : "";
      });
    });
  }

  #lines(series, left, slot, y) {
    return series.map((one) => html`<path class="s${one.color}" d="${one.values.map((value, i) => `${i ? "L" : "M"}${left + slot * (i + 0.5)} ${y(value)}`).join("")}"/>`);
  }

  #point(event) {
    const box = this.getBoundingClientRect();
    const at = Math.floor((event.clientX - box.left - this.#geometry.left) / this.#geometry.slot);
    this.#select(at >= 0 && at < this.#data.labels.length ? at : -1);
  }

  #key(event) {
    const last = this.#data.labels.length - 1;
    const at = { ArrowLeft: Math.max(this.#at - 1, 0), ArrowRight: Math.min(this.#at + 1, last), Home: 0, End: last, Escape: -1 }[event.key];
    if (at === undefined) return;
    event.preventDefault();
    this.#select(at, true);
  }

  #select(at, isSpoken = false) {
    if (at === this.#at) return;
    this.#at = at;
    const tip = this.querySelector(".tip");
    this.querySelectorAll(".hit").forEach((hit, i) => hit.classList.toggle("on", i === at));
    tip.hidden = at < 0;
    if (at < 0) return;
    const { labels, titles, series, format } = this.#data;
    const label = titles?.[at] ?? labels[at];
    render(tip, html`<strong>${label}</strong>${series.map((one) => html`<div><i class="s${one.color}"></i>${one.name}<b>${format(one.values[at])}</b></div>`)}`);
    const { left, slot } = this.#geometry;
    const x = left + slot * (at + 0.5);
    tip.style.left = `${x + tip.offsetWidth + 16 < this.clientWidth ? x + 12 : Math.max(0, x - tip.offsetWidth - 12)}px`;
    if (isSpoken) this.querySelector("[aria-live]").textContent = `${label}: ${series.map((one) => `${one.name} ${format(one.values[at])}`).join(", ")}`;
  }
}
customElements.define("d-chart", Chart);

/** Return a bar of shares: `parts` are `[name, value, color]`. */
export function share(parts, label) {
  const sum = parts.reduce((total, [, value]) => total + value, 0) || 1;
  let x = 0;
  return html`<svg class="share" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="${label}"><rect class="track" width="100" height="10"/>
    ${parts.map(([, value, color]) => {
      const rect = html`<rect class="s${color}" x="${(x / sum) * 100}" width="${(value / sum) * 100}" height="10"/>`;
      x += value;
      return rect;
    })}</svg>`;
}
