// What every page does: keep what is typed through live updates, count time, say when it is cut off.
Idiomorph.defaults.ignoreActiveValue = true;
// What somebody has opened stays open.
Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, element) => !(name === "open" && element.localName === "details");

const root = document.documentElement;
const body = document.body;
// The gateway's clock rules: the browser's may be wrong.
const skew = Number(body.dataset.now) - Date.now();

document.getElementById("theme").addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
  dispatchEvent(new Event("theme"));
});

addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || /INPUT|SELECT|TEXTAREA/.test(document.activeElement.tagName)) return;
  event.preventDefault();
  document.querySelector(".search input").focus();
});

document.addEventListener("change", (event) => {
  if ("submits" in event.target.dataset) event.target.form.requestSubmit();
});

// The same words as web/words.py.
function duration(length) {
  const ms = Math.max(length, 0), s = ms / 1e3, min = s / 60, h = min / 60;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (min < 1) return `${Math.floor(s)} s`;
  if (h < 1) return `${Math.floor(min)} min`;
  if (h < 24) return `${Math.floor(h)} h ${Math.floor(min % 60)} min`;
  return `${Math.floor(h / 24)} d ${Math.floor(h % 24)} h`;
}

const told = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short", hour12: false });

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hour12: false });
const dated = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });

// A day is told where it is not the present one.
function clockTime(at, now) {
  const moment = new Date(at), time = clock.format(moment);
  return moment.toDateString() === new Date(now).toDateString() ? time : `${dated.format(moment)}, ${time}`;
}

function tick() {
  const now = Date.now() + skew;
  for (const time of document.querySelectorAll("time[data-ago]")) time.textContent = duration(now - time.dataset.ago);
  for (const time of document.querySelectorAll("time[data-left]")) time.textContent = duration(time.dataset.left - now);
  for (const time of document.querySelectorAll("time[data-clock]")) time.textContent = clockTime(Number(time.dataset.clock), now);
  for (const time of document.querySelectorAll("time[data-moment]")) time.textContent = told.format(Number(time.dataset.moment));
}
tick();
setInterval(tick, 1000);
body.addEventListener("htmx:wsAfterMessage", tick);

// What a live update folds up, somebody has just unfolded.
Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) => !(name === "open" && node.tagName === "DETAILS");

// A form that was refused comes back as a page, too, with what was typed and why.
body.addEventListener("htmx:beforeSwap", ({ detail }) => {
  if (detail.xhr.status >= 400 && detail.xhr.responseText.includes(`id="${detail.target.id}"`)) {
    detail.shouldSwap = true;
    detail.isError = false;
  }
});
function tellUnsent({ target, type }) {
  for (const told of target.querySelectorAll("[data-unsent]")) told.hidden = type === "htmx:beforeRequest";
}
for (const type of ["htmx:beforeRequest", "htmx:sendError", "htmx:responseError"]) body.addEventListener(type, tellUnsent);

const stale = document.getElementById("stale");
body.addEventListener("htmx:wsOpen", () => { stale.hidden = true; });
body.addEventListener("htmx:wsClose", ({ detail }) => {
  const code = detail.event.code;
  if (code === 4401 || code === 4404) location.reload();
  else if (code !== 1005 && code !== 1000) stale.hidden = false;
});
