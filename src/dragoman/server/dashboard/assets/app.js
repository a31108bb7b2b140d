
import { access, element, html, icon, notice, render, send } from "/dashboard/lib.js";

const PAGES = [
  ["", "now", "Now"],
  ["usage", "usage", "Usage"],
  ["plan", "plan", "Plan"],
  ["cache", "cache", "Cache"],
  ["playground", "playground", "Playground"],
  ["keys", "keys", "Keys"],
  ["nodes", "nodes", "Nodes"],
  ["settings", "settings", "Settings"],
];
const root = document.documentElement;
const main = document.querySelector("main");
const nav = document.querySelector("nav");
const signOut = document.querySelector("#sign-out");
const theme = document.querySelector("#theme");
const THEMES = ["auto", "light", "dark"];

/** The pages for this person: a member's key has its own usage only. */
const pages = () => (access() === "member" ? PAGES.filter(([, name]) => name === "usage") : PAGES);
const showNav = () => render(nav, pages().map(([path, name, title]) => html`<a href="#/${path}" data-page="${name}">${icon(name)}<span>${title}</span></a>`));

async function show(isFirst) {
  if (access() === "signed-out") return showSignIn();
  showNav();
  const [part, id] = location.hash.replace(/^#\/?/, "").split("/");
  const [, name, title] = part === "runs" && id && access() !== "member" ? [part, "run", "Run"] : (pages().find(([path]) => path === part) ?? pages()[0]);
  for (const link of nav.children) {
    const isCurrent = link.dataset.page === (name === "run" ? "now" : name);
    if (isCurrent) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${title} · Dragoman`;
  try {
    await import(`/dashboard/${name}.js`);
  } catch {
    return render(main, notice("A part of the dashboard could not be loaded. Reload the page.", "bad"));
  }
  const page = document.createElement(`${name}-page`);
  if (id) page.dataset.id = id;
  main.replaceChildren(page);
  if (isFirst !== true) {
    scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
}

function showSignIn() {
  showNav();
  document.title = "Sign in · Dragoman";
  const form = element(html`<form class="sign-in"><div class="panel">
    <h1>Sign in</h1>
    <p class="soft">This gateway requires a key. A client's key shows its own usage. The page keeps it in a cookie that scripts cannot read, for 12 hours.</p>
    <label>API key<input name="key" type="password" required autocomplete="current-password" spellcheck="false"></label>
    <button class="primary">Sign in</button>
    <p class="error" role="alert" hidden></p></div></form>`);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const key = form.elements.key.value.trim();
    const failure = form.querySelector(".error");
    try {
      const headers = { authorization: `Bearer ${key}` };
      const session = await (await send("/dashboard/session", { method: "POST", headers, signing: true })).json();
      root.dataset.token = session.token;
      root.dataset.access = session.access;
      signOut.hidden = false;
      show();
    } catch (error) {
      failure.textContent = error.message;
      failure.hidden = false;
    }
  });
  main.replaceChildren(form);
  form.elements.key.focus();
}

signOut.hidden = !["signed-in", "member"].includes(access());
signOut.addEventListener("click", async () => {
  await send("/dashboard/session", { method: "DELETE" }).catch(() => {});
  dispatchEvent(new Event("signed-out"));
});
addEventListener("signed-out", () => {
  if (access() === "signed-out") return;
  root.dataset.access = "signed-out";
  root.dataset.token = "";
  signOut.hidden = true;
  showSignIn();
});

function setTheme(name) {
  if (name === "auto") delete root.dataset.theme;
  else root.dataset.theme = name;
  localStorage.setItem("theme", name);
  theme.textContent = `Theme: ${name}`;
}
setTheme(THEMES.includes(localStorage.getItem("theme")) ? localStorage.getItem("theme") : "auto");
theme.addEventListener("click", () => setTheme(THEMES[(THEMES.indexOf(localStorage.getItem("theme")) + 1) % THEMES.length]));
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", show);
show(true);
