"use strict";
// The organiser's page: where the study stands, and what can be done about it. Times are shown in the reader's zone.

const main = document.getElementById("page");
let token = "", links = [], timer = null;
const DOWNLOADS = ["videos.csv", "votes.csv", "raters.csv", "study-report.html", "study-report.json"];
const MORE_DOWNLOADS = { "acr-hr": ["differences.csv"], pairs: ["preferences.csv"] };

async function ask(method, path, body) {
  const headers = { "X-Token": token };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store" });
  const said = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(said.error || String(answer.status)), { status: answer.status });
  return said;
}

const button = (text, onclick, main = false) => el("button", { type: "button", class: main ? "main" : "", onclick }, text);
const figure = (value, digits = 2) => value == null ? "–" : value.toFixed(digits);
const percent = (value) => value == null ? "–" : `${Math.round(100 * value)}%`;
const moment = (at) => at == null ? "–" : new Date(at * 1000).toLocaleString(undefined, { dateStyle: "short", timeStyle: "short" });

function login(message = "") {
  clearInterval(timer);
  const status = el("p", { class: "status bad", role: "alert" }, message);
  const field = el("input", { type: "password", id: "password", autocomplete: "current-password", required: true });
  const form = el("form", {}, el("label", { for: "password" }, "Password"), el("div", { class: "actions" }, field,
    el("button", { class: "main" }, "Log in")), status);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    status.textContent = "";
    try {
      token = (await ask("POST", "/api/organiser/login", { password: field.value })).token;
      await refresh(true);
    } catch (error) {
      status.textContent = { wrong_password: "That is not the password.", too_many: "Too many attempts. Wait a minute." }[error.message] || `That did not work (${error.message}).`;
      field.select();
    }
  });
  main.replaceChildren(el("h1", {}, "Rating study"), form);
  field.focus();
}

async function refresh(first = false) {
  try {
    const found = await ask("GET", "/api/organiser/overview");
    token = found.token;
    draw(found);
    if (first) {
      clearInterval(timer);
      // A page in the background asks for nothing.
      timer = setInterval(() => { if (!document.hidden && !main.contains(document.activeElement)) refresh(); }, 15000);
    }
  } catch (error) {
    if (error.status === 401) login(first ? "" : "The session is over. Please log in again.");
    else if (first) login(`That did not work (${error.message}).`);
  }
}

async function act(path, body, after) {
  try {
    const said = await ask("POST", path, body);
    if (after) after(said);
    await refresh();
  } catch (error) {
    if (error.status === 401) login();
    else alert(`That did not work (${error.message}).`);
  }
}

function tile(name, value) {
  return el("dl", { class: "tile" }, el("dt", {}, name), el("dd", {}, value));
}

function table(caption, headings, rows) {
  const head = el("tr", {}, ...headings.map(([name, kind]) => el("th", { scope: "col", class: kind }, name)));
  const body = rows.map((cells) => el("tr", {}, ...cells.map((cell, place) => el("td", { class: headings[place][1] }, cell))));
  return el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": caption },
    el("table", {}, el("thead", {}, head), el("tbody", {}, ...body)));
}

function counts(found) {
  return Object.entries(found).map(([name, number]) => `${name} (${number})`).join(", ") || "–";
}

function draw(s) {
  const agreement = s.agreement;
  const state = s.ended ? `Ended: ${s.ended}.` : s.enough ? `Enough votes: ${s.enough}.` : "The study is open.";
  const open = el("details", { id: "links" }, el("summary", {}, `${links.length} new links: copy them now, they are shown only here`),
    el("ol", { class: "linklist" }, ...links.map((link) => el("li", {}, `${link.rater}  ${location.origin}${link.path}`))));
  const number = el("input", { type: "number", id: "many", min: 1, max: 1000, value: 10 });
  const kept = new Set([...main.querySelectorAll("details[open]")].map((each) => each.id));
  const scroll = window.scrollY;
  const parts = [
    el("h1", {}, s.title), el("p", { role: "status" }, state),
    el("div", { class: "tiles" },
      tile("Votes that count", String(s.votes)), tile("Votes given", String(s.votes_given)), tile("In the last hour; an hour on average", `${s.votes_last_hour}; ${figure(s.votes_per_hour, 0)}`),
      tile("Videos narrow enough", `${percent(s.share_reached)} of ${percent(s.wanted_share)}`),
      tile("Hours left", s.votes_missing ? figure(s.hours_left, 1) : "0"), tile("Raters: invited, opened", `${s.invited}, ${s.opened}`),
      tile("Devices that failed a check", `${s.checks.failed} of ${s.checks.raters}`),
      tile("Correlation with the others", figure(agreement.mean_correlation)), tile("Repeats differ by", figure(agreement.repeat_difference)),
      tile("Traps right", percent(agreement.traps_right)), tile("Anchors right", percent(agreement.anchors_right)),
      tile("Krippendorff's alpha", figure(agreement.krippendorff_alpha))),
    el("label", { class: "small", for: "reached" }, "Videos whose interval is narrow enough"),
    el("progress", { id: "reached", class: "bar", max: 1, value: s.share_reached }),
    el("h2", {}, "Invitations"),
    el("label", { for: "many" }, "How many more raters"),
    el("div", { class: "actions" }, number, button("Make links", () => {
      act("/api/organiser/invite", { raters: Number(number.value) }, (said) => { links = said.links; });
    }, true)),
    links.length ? open : null,
    el("h2", {}, "Raters"),
    table("Raters", [["rater", ""], ["done", "number"], ["votes", "number"], ["corr.", "number"], ["repeats", "number"], ["traps wrong", "number"],
      ["anchors off", "number"], ["disturbed", "number"], ["flags", "text"], ["", ""], ["device", ""], ["last vote", ""]],
    s.raters.map((r) => [r.rater, `${r.closed} of ${r.slots}`, String(r.votes ?? 0), figure(r.correlation), r.repeats ? figure(r.repeat_difference) : "–",
      `${r.traps_wrong ?? 0} of ${r.traps ?? 0}`, `${r.anchors_off ?? 0} of ${r.anchors ?? 0}`, percent(r.disturbed),
      el("span", { class: "flag" }, [...r.flags, ...(r.excluded == null ? [] : [`excluded: ${r.excluded}`])].join("; ")), actionsOf(r),
      r.browser ? `${r.browser}, ${r.screen[0]} x ${r.screen[1]}${r.failed.length ? `, failed: ${r.failed.join(" ")}` : ""}` : "–", moment(r.last)])),
    el("h2", {}, "Videos"),
    el("details", { id: "videos" }, el("summary", {}, `${s.videos.length} videos`),
      table("Videos", [["video", ""], ["votes", "number"], [s.method === "pairs" ? "score" : "MOS", "number"], ["half-width", "number"],
        ["of all raters", "number"], ["without flagged", "number"], ["", ""]],
      s.videos.map((v) => [v.id, String(v.votes), figure(v.mos), figure(v.half_width), figure(v.all_raters), figure(v.without_flagged),
        v.unplayable ? "nobody could play it" : ""]))),
    s.unplayable.length ? el("details", { id: "unplayable" }, el("summary", {}, `${s.unplayable.length} times a video could not be played`),
      el("ul", {}, ...s.unplayable.map((u) => el("li", {}, `${u.id}, ${u.rater}: ${u.error}`)))) : null,
    Object.keys(s.not_ratable).length ? el("details", { id: "notratable" }, el("summary", {}, `${Object.keys(s.not_ratable).length} videos are not in the study`),
      el("ul", {}, ...Object.entries(s.not_ratable).map(([id, why]) => el("li", {}, `${id}: ${why}`)))) : null,
    ...s.notes.map((note) => el("p", { class: "quiet small" }, note)),
    el("h2", {}, "Devices"),
    el("p", {}, `Browsers: ${counts(s.devices.browsers)}. Device pixels a CSS pixel: ${counts(s.devices.ratios)}. `
      + `Screens: ${counts(s.devices.screens)}. ${s.devices.scaled} of ${s.devices.plays} plays were scaled down, ${s.devices.fullscreen} in full screen.`),
    el("h2", {}, "Download"),
    el("div", { class: "actions" }, ...[...DOWNLOADS, ...(MORE_DOWNLOADS[s.method] || [])].map((name) => el("a", { class: "button", href: `/api/organiser/download/${name}`, download: name }, name))),
    el("h2", {}, "Pages"),
    el("p", {}, "As raters see them:"),
    el("div", { class: "actions" }, ...s.pages.map((name) => el("a", { href: `/preview/${name}`, target: "_blank", rel: "noopener" }, name.replaceAll("_", " ")))),
    el("details", { id: "texts", ontoggle: showTexts }, el("summary", {}, "All texts"), el("div", {})),
    s.texts_missing.length ? el("p", { class: "flag" }, `${s.texts_missing.length} texts are in English for want of a translation: ${s.texts_missing.join(", ")}.`) : null,
    el("h2", {}, "The study"),
    el("div", { class: "actions" },
      s.ended ? button("Open the study again", () => act("/api/organiser/end", { ended: false }))
        : button("End the study", () => { if (confirm("No new session begins after that. End the study?")) act("/api/organiser/end", { ended: true }); }),
      button("Log out", () => act("/api/organiser/logout", {}, () => login())),
      button("Log out everywhere", () => act("/api/organiser/logout-all", {}, () => login()))),
  ];
  main.replaceChildren(...parts.filter((part) => part != null));
  for (const each of main.querySelectorAll("details")) if (kept.has(each.id)) each.open = true;
  if (links.length && !kept.size) { const list = document.getElementById("links"); if (list) list.open = true; }
  window.scrollTo(0, scroll);
}

async function showTexts(event) {
  const place = event.target.querySelector("div");
  if (!event.target.open || place.childElementCount) return;
  const texts = await ask("GET", "/api/texts");
  place.replaceChildren(table("Texts", [["name", ""], ["text", "text"]], Object.entries(texts)));
}

function actionsOf(rater) {
  const count = rater.excluded == null
    ? button("Exclude", () => act("/api/organiser/exclude", { rater: rater.number, excluded: true, reason: rater.flags.join("; ") || "by the organiser" }))
    : button("Count again", () => act("/api/organiser/exclude", { rater: rater.number, excluded: false }));
  return el("span", { class: "actions" }, count, button("Release", () => act("/api/organiser/release", { rater: rater.number })));
}

refresh(true);
