"use strict";
// The rater's pages. What comes next is the server's word (/api/state); this draws it, plays clips, and keeps a vote
// until it was answered.

const LARGEST_IN_MEMORY = 64 * 1024 * 1024;
const KEPT = "mdsvqa-unanswered", BROWSER = "mdsvqa-browser", KEYS = "mdsvqa-number-keys";
const main = document.getElementById("page"), footer = document.getElementById("footer");
const stage = document.getElementById("stage"), video = document.getElementById("video");
const caption = document.getElementById("caption"), startButton = document.getElementById("start");
const preview = location.pathname.startsWith("/preview/") ? location.pathname.slice(9) : null;
let texts = {}, token = "", study = {};

// ---- small things

const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const nextFrame = () => new Promise((done) => requestAnimationFrame(done));
const secret = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

function t(name, values = {}) {
  return (texts[name] ?? name).replace(/\{(\w+)\}/g, (whole, key) => values[key] ?? whole);
}

const button = (text, onclick, main = true) => el("button", { type: "button", class: main ? "main" : "", onclick }, text);

function show(title, ...children) {
  document.documentElement.classList.remove("rating-page");
  const heading = title == null ? null : el("h1", {}, title);
  main.replaceChildren(...[heading, ...children].filter((child) => child != null));
  footer.hidden = !study.rater;
  footer.textContent = study.rater ? t("rater_number", { name: study.rater }) : "";
  main.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

function kept(name, value) {
  // Private windows may refuse; the page then works without.
  try {
    if (value === undefined) return localStorage.getItem(name);
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
  } catch { /* see above */ }
  return value ?? null;
}

// ---- talking to the server

class Refusal extends Error {
  constructor(status, body) {
    super(body.error || String(status));
    this.status = status;
    this.code = body.error || String(status);
    this.body = body;
  }
}

async function ask(method, path, body, seconds = 20) {
  const headers = { "X-Token": token };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), seconds * 1000);
  try {
    const answer = await fetch(path, {
      method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal: stop.signal,
      credentials: "same-origin", cache: "no-store",
    });
    const said = await answer.json();
    if (!answer.ok) throw new Refusal(answer.status, said);
    return said;
  } finally {
    clearTimeout(timer);
  }
}

const gone = (error) => !(error instanceof Refusal) || error.status >= 500 || error.status === 429;

function offline(is) {
  const banner = document.getElementById("offline");
  banner.hidden = !is;
  banner.textContent = is ? t("offline") : "";
}

// Until there is an answer, whatever the network does. Everything that is asked for so may be asked for twice.
async function insist(method, path, body) {
  if (preview) return new Promise(() => {});
  for (let pause = 500; ; pause = Math.min(pause * 1.6, 5000)) {
    try {
      const said = await ask(method, path, body);
      offline(false);
      return said;
    } catch (error) {
      if (!gone(error)) { offline(false); throw error; }
      offline(!(error instanceof Refusal));
      await Promise.race([wait(pause), new Promise((done) => addEventListener("online", done, { once: true }))]);
    }
  }
}

// A vote is kept before it is sent, and until it is answered: a page that is loaded again sends it first.
async function deliver(path, body) {
  if (!preview) kept(KEPT, JSON.stringify({ path, body }));
  try {
    return await insist("POST", path, body);
  } finally {
    kept(KEPT, null);
  }
}

async function deliverKept() {
  const left = kept(KEPT);
  if (!left) return;
  const { path, body } = JSON.parse(left);
  // Refused means answered: the server has another vote of this slot, or needs the clip to be seen again.
  await deliver(path, body).catch((error) => { if (error.status === 401) throw error; });
}

// ---- from page to page

async function go(next) {
  if (next.study) study = next.study;
  if (next.token) token = next.token;
  release(next);
  const pages = { consent, instructions, check: checkPage, unsuited, slot: ready, break: pause, thanks, closed };
  await (pages[next.page] || problem)(next);
}

async function post(path, body = {}) {
  try {
    await go(await insist("POST", path, body));
  } catch (error) {
    await recover(error);
  }
}

async function refresh() {
  await go(await insist("GET", "/api/state"));
}

async function recover(error) {
  if (error instanceof Refusal && error.status === 409) return refresh().catch(problem);
  return problem(error);
}

function problem(error) {
  hideStage();
  const code = error && error.code;
  const known = ["link_unknown", "link_expired", "link_elsewhere", "not_opened", "too_many"].includes(code);
  const text = known ? t(code) : t("problem_text", { code: code || (error && error.message) || "?" });
  show(t("problem_title"), el("p", { role: "alert" }, text),
    known ? null : el("div", { class: "actions" }, button(t("reload"), () => location.reload())));
}

async function begin() {
  try {
    texts = await insistOnTexts();
    if (preview) {
      const sample = await ask("GET", `/api/organiser/preview/${encodeURIComponent(preview)}`);
      study = sample.study;
      return previewed[preview] ? previewed[preview](sample.slot) : await go(sample);
    }
    const link = location.pathname.startsWith("/r/") ? location.pathname.slice(3) : null;
    if (link) {
      const browser = kept(BROWSER) || kept(BROWSER, secret());
      await insist("POST", "/api/open", { link, browser });
      history.replaceState(null, "", "/");
    }
    const state = await insist("GET", "/api/state");
    token = state.token;
    study = state.study;
    if (kept(KEPT)) {
      await deliverKept();
      await refresh();
    } else {
      await go(state);
    }
  } catch (error) {
    problem(error);
  }
}

// Pages that come of what happens, and not from the server.
const previewed = {
  again: (slot) => again(slot, ["stalled", "dropped", "hidden", "slow"]),
  vote: (slot) => vote(slot, []),
  unplayable: (slot) => cannotPlay(slot, ""),
  check_dark: () => countShapes(0), check_bright: () => countShapes(1), check_colour: () => readPlate(),
  check_clip: () => askForClip(() => {}),
  loading: () => { show(t("ready_title")); stage.hidden = false; announce(t("loading")); },
  offline: (slot) => { vote(slot, []); offline(true); },
  problem: () => problem(new Error("example")),
};
for (const code of ["link_unknown", "link_expired", "link_elsewhere", "not_opened", "too_many"]) previewed[code] = () => problem({ code });

async function insistOnTexts() {
  for (;;) {
    try { return await ask("GET", "/api/texts"); } catch { await wait(1000); }
  }
}

// ---- consent and instructions

function consent() {
  const contact = study.contact ? t("consent_contact", { contact: study.contact }) : t("consent_contact_unknown");
  show(study.title,
    el("h2", {}, t("consent_title")),
    el("p", {}, t("consent_what", { minutes: study.session_minutes, sessions: study.sessions })),
    el("p", {}, t("consent_stored")), el("p", {}, t("consent_free")), el("p", {}, contact),
    el("p", { class: "quiet small" }, t("consent_number")),
    el("div", { class: "actions" }, button(t("agree"), once(() => post("/api/consent")))));
}

const once = (act) => { let done = false; return (...what) => { if (!done) { done = true; return act(...what); } }; };

function answers() {
  if (study.method === "pairs") return [["1", t("pair_first")], ["0", t("pair_second")], ["0.5", t("pair_equal")]];
  const scale = study.method === "dcr" ? "dcr" : "acr";
  return [5, 4, 3, 2, 1].map((level) => [String(level), t(`${scale}_${level}`)]);
}

// The keys as they are printed beside the answers.
const keyOf = (value) => study.method === "pairs" ? { 1: "1", 0: "2", 0.5: "3" }[value] : value;

function meanings() {
  if (study.method === "pairs") return null;
  const scale = study.method === "dcr" ? "dcr" : "acr";
  return [el("h2", {}, t("levels_title")), el("dl", { class: "levels" }, ...answers().flatMap(([value, text]) =>
    [el("dt", {}, text), el("dd", {}, t(`${scale}_${value}_means`))]))];
}

function instructions(page) {
  const kind = study.method === "acr-hr" ? "acr" : study.method;
  show(t("instructions_title"),
    page.again ? el("p", {}, t("instructions_again")) : null,
    el("p", {}, t(`instructions_${kind}`)), el("p", {}, t("instructions_quality")), el("p", {}, t("instructions_no_right")),
    el("p", {}, t("instructions_once")), study.traps ? el("p", {}, t("instructions_trap")) : null,
    ...(meanings() || []),
    el("h2", {}, t("check_title")),
    el("p", {}, t("instructions_room")), el("p", {}, t(study.audio ? "instructions_sound" : "instructions_quiet")),
    study.number_keys ? el("p", {}, t("instructions_keys")) : null,
    page.again || !study.training ? null : el("p", {}, t("instructions_training", { count: study.training })),
    el("div", { class: "actions" }, button(t("go_on"), once(() => post("/api/instructions")))));
}

// ---- the check of the device

const family = () => {
  const agent = navigator.userAgent;
  for (const [name, mark] of [["Edge", "Edg/"], ["Samsung Internet", "SamsungBrowser/"], ["Opera", "OPR/"],
    ["Firefox", "Firefox/"], ["Firefox", "FxiOS/"], ["Chrome", "CriOS/"], ["Chrome", "Chrome/"], ["Safari", "Safari/"]])
    if (agent.includes(mark)) return name;
  return "other";
};

async function refreshRate() {
  await nextFrame();
  const times = [];
  for (let frame = 0; frame < 61; frame++) times.push(await nextFrame());
  const gaps = times.slice(1).map((time, place) => time - times[place]).sort((a, b) => a - b);
  return Math.round(1000 / Math.max(gaps[Math.floor(gaps.length / 2)], 1));
}

function checkPage() {
  show(t("check_title"), el("p", {}, t("check_intro")),
    el("div", { class: "actions" }, button(t("check_start"), once(runCheck))));
}

async function runCheck() {
  const ratio = window.devicePixelRatio || 1;
  const found = {
    failed: [], browser: family(), touch: matchMedia("(pointer: coarse)").matches, ratio,
    screen_width: Math.round(screen.width * ratio), screen_height: Math.round(screen.height * ratio), refresh: 0,
    frames: 0, dropped: 0, brightness_errors: 0, colour_errors: null,
  };
  const rate = preview ? Promise.resolve(60) : refreshRate();
  found.brightness_errors = await countShapes(0) + await countShapes(1);
  found.refresh = await rate;
  if (found.brightness_errors > 2) found.failed.push("brightness");
  if (study.colour_plates) {
    found.colour_errors = await readPlate() + await readPlate();
    if (found.colour_errors > 1) found.failed.push("colour");
  }
  const [wide, high] = study.largest || [0, 0];
  if (found.screen_width < wide || found.screen_height < high) if (study.size === "native") found.failed.push("screen");
  await new Promise(askForClip);
  const clip = { source: "/media/check", ...study.check_clip };
  let playback = false;
  try {
    const facts = await play(clip, 0, await fetched(clip));
    Object.assign(found, { frames: facts.total, dropped: facts.dropped });
    playback = facts.reached >= clip.duration - 0.2 && facts.total >= 0.9 * clip.frames && facts.dropped <= 0.2 * facts.total;
  } catch { /* not played: the check has failed */ }
  hideStage();
  if (!playback) found.failed.push("playback");
  await post("/api/check", found);
}

function askForClip(done) {
  show(t("check_title"), el("p", {}, t("check_clip")), el("div", { class: "actions" }, button(t("check_clip_start"), once(done))));
}

// How far a count of circles among other shapes, drawn a few steps of 255 from the ground, is off.
function countShapes(bright) {
  const canvas = el("canvas", { class: "matrix", width: 600, height: 300, role: "img", "aria-label": t("check_picture") });
  const draw = canvas.getContext("2d");
  const ground = bright ? 236 : 12;
  draw.fillStyle = `rgb(${ground},${ground},${ground})`;
  draw.fillRect(0, 0, 600, 300);
  const circles = 2 + Math.floor(Math.random() * 5);
  const kinds = Array.from({ length: 12 }, (_, place) => place < circles).sort(() => Math.random() - 0.5);
  kinds.forEach((circle, place) => {
    const x = 50 + (place % 6) * 100, y = 75 + Math.floor(place / 6) * 150;
    const level = bright ? ground + 9 : ground + 14;
    draw.fillStyle = `rgb(${level},${level},${level})`;
    draw.beginPath();
    if (circle) draw.arc(x, y, 30, 0, 2 * Math.PI);
    else { draw.moveTo(x, y - 32); draw.lineTo(x + 32, y + 26); draw.lineTo(x - 32, y + 26); draw.closePath(); }
    draw.fill();
  });
  return askNumber(t(bright ? "check_bright" : "check_dark"), canvas, [0, 1, 2, 3, 4, 5, 6, 7], circles);
}

// One number in dots of two colours of like lightness: a hint, no diagnosis. 1 where it was not read.
async function readPlate() {
  const answer = [3, 5, 6, 8][Math.floor(Math.random() * 4)];
  const canvas = el("canvas", { class: "plate", width: 320, height: 320, role: "img", "aria-label": t("check_plate") });
  const draw = canvas.getContext("2d");
  draw.font = "bold 260px sans-serif"; draw.textAlign = "center"; draw.textBaseline = "middle";
  draw.fillText(String(answer), 160, 172);
  const inside = draw.getImageData(0, 0, 320, 320).data;
  draw.clearRect(0, 0, 320, 320);
  for (let dot = 0; dot < 2600; dot++) {
    const x = Math.random() * 320, y = Math.random() * 320;
    if (Math.hypot(x - 160, y - 160) > 155) continue;
    const digit = inside[4 * (Math.floor(y) * 320 + Math.floor(x)) + 3] > 128;
    const light = 42 + Math.random() * 22;
    draw.fillStyle = digit ? `hsl(${5 + Math.random() * 20},62%,${light}%)` : `hsl(${85 + Math.random() * 35},42%,${light - 4}%)`;
    draw.beginPath();
    draw.arc(x, y, 3 + Math.random() * 4, 0, 2 * Math.PI);
    draw.fill();
  }
  const off = await askNumber(t("check_colour"), canvas, [3, 5, 6, 8, 0], answer);
  return off ? 1 : 0;
}

function askNumber(question, picture, offered, right) {
  return new Promise((done) => {
    const choices = offered.map((number) => choice("number", String(number), number ? String(number) : t("check_nothing")));
    const next = button(t("check_next"), () => {
      const chosen = main.querySelector("input:checked");
      if (chosen) done(Math.abs(Number(chosen.value) - right));
      else complain();
    });
    const status = el("p", { class: "status bad", role: "status" });
    const complain = () => { status.textContent = t("choose_first"); };
    show(t("check_title"), el("fieldset", {}, el("legend", {}, question), picture,
      el("div", { class: "numbers" }, ...choices)), status, el("div", { class: "actions" }, next));
  });
}

function choice(name, value, text, key = "") {
  return el("label", { class: "choice" }, el("input", { type: "radio", name, value }), el("span", {}, text),
    key ? el("span", { class: "key", "aria-hidden": "true" }, key) : null);
}

function unsuited(page) {
  show(t("unsuited_title"), ...page.failed.map((name) => el("p", {}, t(`unsuited_${name}`))),
    el("p", {}, t("unsuited_thanks")), el("div", { class: "actions" }, button(t("check_retry"), once(runCheck), false)));
}

// ---- clips

const clips = new Map();

// A clip in memory, so that the network cannot stall it; what is too large is played in ranges.
function fetched(clip) {
  if (clip.bytes > LARGEST_IN_MEMORY) return Promise.resolve({ address: clip.source, streamed: true });
  if (!clips.has(clip.source)) {
    const coming = (async () => {
      for (let pause = 500; ; pause = Math.min(pause * 1.6, 5000)) {
        try {
          const answer = await fetch(clip.source, { credentials: "same-origin", cache: "no-store" });
          if (answer.status >= 500 || answer.status === 429) throw new Error(String(answer.status));
          if (!answer.ok) throw new Refusal(answer.status, { error: `clip ${answer.status}` });
          const blob = await answer.blob();
          offline(false);
          return { address: URL.createObjectURL(blob), streamed: false };
        } catch (error) {
          if (error instanceof Refusal) throw error;
          offline(!navigator.onLine || error instanceof TypeError);
          await wait(pause);
        }
      }
    })();
    coming.catch(() => {});
    clips.set(clip.source, coming);
  }
  return clips.get(clip.source);
}

function release(page) {
  const needed = new Set([page, page.next || {}].flatMap((each) => (each.clips || []).map((clip) => clip.source)));
  for (const [source, coming] of clips)
    if (!needed.has(source)) {
      clips.delete(source);
      coming.then(({ address, streamed }) => { if (!streamed) URL.revokeObjectURL(address); }, () => {});
    }
}

// The size of a picture in device pixels: one to one where it fits, never enlarged.
function shownSize(clip) {
  const ratio = window.devicePixelRatio || 1;
  const room = [window.innerWidth * ratio, window.innerHeight * ratio];
  const scale = study.size === "native" ? 1 : Math.min(1, room[0] / clip.width, room[1] / clip.height);
  return { ratio, scale, width: Math.round(clip.width * scale), height: Math.round(clip.height * scale) };
}

function hideStage() {
  stage.classList.remove("showing");
  stage.hidden = true;
  caption.hidden = true;
  startButton.hidden = true;
}

class CannotPlay extends Error {}

// Plays a clip on the stage and tells what happened; `CannotPlay` where the browser does not.
async function play(clip, side, source) {
  stage.hidden = false;
  stage.classList.remove("showing");
  video.muted = !study.audio;
  const size = shownSize(clip);
  video.style.width = `${size.width / size.ratio}px`;
  video.style.height = `${size.height / size.ratio}px`;
  video.src = source.address;
  video.load();
  await happens("loadeddata", 30);
  if (!video.videoWidth) throw new CannotPlay("no picture");
  const facts = await played(clip, source);
  stage.classList.remove("showing");
  // Two frames of grey: the last picture is gone before anything is asked.
  await nextFrame();
  await nextFrame();
  return { ...facts, side, shown_width: size.width, shown_height: size.height, ratio: size.ratio,
    window_width: Math.round(window.innerWidth * size.ratio), window_height: Math.round(window.innerHeight * size.ratio),
    fullscreen: Boolean(document.fullscreenElement), streamed: source.streamed };
}

function happens(event, seconds) {
  return new Promise((done, fail) => {
    const end = (act) => (what) => { clearTimeout(timer); video.removeEventListener(event, good); video.removeEventListener("error", bad); act(what); };
    const good = end(done);
    const bad = end(() => fail(new CannotPlay(video.error ? `${video.error.code} ${video.error.message}` : "error")));
    const timer = setTimeout(end(() => fail(new CannotPlay(`no ${event} in ${seconds} s`))), seconds * 1000);
    video.addEventListener(event, good);
    video.addEventListener("error", bad);
  });
}

const STUCK_AFTER = 30_000;

function played(clip, source) {
  return new Promise((done, fail) => {
    const stop = new AbortController();
    const on = (target, name, act) => target.addEventListener(name, act, { signal: stop.signal });
    const wished = performance.now();
    let first = null, pictures = 0, reached = 0, ended = false;
    let stalls = 0, stalled = 0, since = null, hidden = 0, hiddenSince = document.hidden ? wished : null;
    let position = -1, moved = wished, lasting = 0;
    const quality = () => video.getVideoPlaybackQuality ? video.getVideoPlaybackQuality() : { totalVideoFrames: 0, droppedVideoFrames: 0 };

    const onPicture = (now, said) => {
      if (first === null) { first = performance.now(); stage.classList.add("showing"); }
      pictures += 1;
      reached = Math.max(reached, said.mediaTime);
      if (!stop.signal.aborted) video.requestVideoFrameCallback(onPicture);
    };
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(onPicture);
    else on(video, "timeupdate", () => onPicture(0, { mediaTime: video.currentTime }));
    on(video, "playing", () => {
      if (first === null) { first = performance.now(); stage.classList.add("showing"); }
      endOfStall();
    });
    const endOfStall = () => {
      if (since === null) return;
      lasting = Math.max(lasting, (performance.now() - since) / 1000);
      stalls += 1;
      since = null;
    };
    on(video, "waiting", () => { if (first !== null && since === null) since = performance.now(); });
    on(document, "visibilitychange", () => {
      const now = performance.now();
      if (document.hidden) hiddenSince = now;
      else if (hiddenSince !== null) { hidden += (now - hiddenSince) / 1000; hiddenSince = null; }
    });
    // A page that was hidden may have been paused by the browser; a rater cannot go on by hand, there are no controls.
    const look = setInterval(() => {
      const now = performance.now();
      if (video.paused && !video.ended && !document.hidden && startButton.hidden) video.play().catch(() => {});
      if (video.currentTime !== position) {
        // Some browsers stop without saying so.
        if (first !== null && since === null && now - moved > 400 && position >= 0) { lasting = Math.max(lasting, (now - moved) / 1000 - 0.1); stalls += 1; }
        position = video.currentTime;
        moved = now;
      } else if (!document.hidden && startButton.hidden && now - moved > STUCK_AFTER) {
        finish(() => fail(new CannotPlay(`stuck at ${position.toFixed(2)} s`)));
      }
    }, 100);
    const finish = (act) => { clearInterval(look); stop.abort(); video.pause(); act(); };
    on(video, "error", () => finish(() => fail(new CannotPlay(video.error ? `${video.error.code} ${video.error.message}` : "error"))));
    on(video, "ended", () => {
      const now = performance.now();
      endOfStall();
      if (hiddenSince !== null) hidden += (now - hiddenSince) / 1000;
      // Each play has a source of its own, with which browsers begin to count anew.
      const counted = quality();
      const total = video.getVideoPlaybackQuality ? counted.totalVideoFrames : pictures;
      // The end was reached if pictures came close to it: the last ones may be shown without being told of.
      const near = reached >= video.currentTime - Math.max(0.5, 0.1 * clip.duration);
      if (near) reached = video.currentTime;
      if (video.currentTime < clip.duration - Math.max(0.15, 3 * clip.duration / clip.frames))
        return finish(() => fail(new CannotPlay(`ended at ${video.currentTime.toFixed(2)} of ${clip.duration.toFixed(2)} s`)));
      const dropped = Math.min(counted.droppedVideoFrames, total);
      const round = (value) => Math.round(Math.max(0, value) * 1000) / 1000;
      finish(() => done({ reached: round(reached), total, dropped, stalled: round(lasting), stalls, hidden: round(hidden),
        watching: round((now - (first ?? wished)) / 1000), delay: round(((first ?? now) - wished) / 1000) }));
    });
    const tryToPlay = () => video.play().then(() => { startButton.hidden = true; moved = performance.now(); }, (error) => {
      if (error.name === "NotAllowedError") {
        startButton.textContent = t("play");
        startButton.hidden = false;
        startButton.focus();
      } else if (error.name !== "AbortError") {
        finish(() => fail(new CannotPlay(`${error.name} ${error.message}`)));
      }
    });
    on(startButton, "click", tryToPlay);
    tryToPlay();
  });
}

// ---- a slot

function ready(slot) {
  for (const clip of slot.clips) fetched(clip).catch(() => {});
  // Nothing of it is played yet, so it also loads.
  const scaled = slot.clips.some((clip) => shownSize(clip).scale < 1);
  const full = document.fullscreenEnabled && !document.fullscreenElement
    ? button(t("full_screen"), () => document.documentElement.requestFullscreen().catch(() => {}), false) : null;
  show(slot.training ? t("ready_training") : t("ready_title"),
    el("p", { class: "quiet" }, placeOf(slot)), el("p", {}, t("ready_text")),
    scaled ? el("p", { class: "quiet" }, t("scaled")) : null,
    el("div", { class: "actions" }, focused(button(t("play"), once(() => watch(slot)))), full));
}

const placeOf = (slot) => t(slot.training ? "place_training" : "place", { place: slot.place, of: slot.of });

function focused(made) {
  setTimeout(() => made.focus({ preventScroll: true }));
  return made;
}

async function watch(slot, earlier = []) {
  if (preview) return;
  // One element, first started in a tap or key press, may be started by the page from then on.
  const asked = slot.clips.length;
  const names = study.method === "pairs" ? ["caption_first", "caption_second"] : ["caption_reference", "caption_video"];
  const facts = [];
  stage.hidden = false;
  // Nothing lies behind the stage that a key could reach.
  main.replaceChildren();
  insistQuietly("/api/begin", { slot: slot.slot });
  try {
    for (const [side, clip] of slot.clips.entries()) {
      const slow = setTimeout(() => announce(t("loading")), 400);
      const source = await fetched(clip);
      clearTimeout(slow);
      announce(asked > 1 ? t(names[side]) : null);
      if (asked > 1) await wait(1000);
      announce(null);
      facts.push(await play(clip, side, source));
    }
  } catch (error) {
    if (error instanceof CannotPlay) return cannotPlay(slot, error.message);
    return recover(error);
  } finally {
    hideStage();
  }
  const plays = [...earlier, ...facts];
  const marks = facts.flatMap((each, side) => disturbances(each, slot.clips[side]));
  const disturbedBefore = earlier.some((each) => each.marked);
  facts.forEach((each) => { each.marked = marks.length > 0; });
  if (slot.next) for (const clip of slot.next.clips) fetched(clip).catch(() => {});
  if (marks.length && !disturbedBefore) return again(slot, marks, plays);
  return vote(slot, plays);
}

function announce(text) {
  caption.hidden = text == null;
  caption.textContent = text ?? "";
}

async function insistQuietly(path, body) {
  if (preview) return;
  try { await ask("POST", path, body); } catch { /* the vote says the same */ }
}

// As the server judges it; it has the last word.
function disturbances(facts, clip) {
  const found = [];
  if (facts.stalled > study.most_stall) found.push("stalled");
  if (facts.dropped > study.most_dropped * Math.max(facts.total, 1)) found.push("dropped");
  if (facts.hidden > 0) found.push("hidden");
  if (facts.watching > study.most_watching * clip.duration + 0.1) found.push("slow");
  return found;
}

function again(slot, marks, plays = []) {
  show(t("again_title"), ...[...new Set(marks)].map((mark) => el("p", {}, t(`again_${mark}`))), el("p", {}, t("again_text")),
    el("div", { class: "actions" }, focused(button(t("play"), once(() => watch(slot, plays))))));
}

function cannotPlay(slot, why) {
  show(t("unplayable_title"), el("p", {}, t("unplayable_text")),
    el("div", { class: "actions" }, focused(button(t("to_end"), once(async () => {
      try {
        await go(await deliver("/api/unplayable", { slot: slot.slot, error: why.slice(0, 300) }));
      } catch (error) {
        await recover(error);
      }
    })))));
}

// ---- the vote

let onKey = null;
addEventListener("keydown", (event) => {
  if (onKey && !event.ctrlKey && !event.metaKey && !event.altKey && !event.repeat) onKey(event);
});

function vote(slot, plays) {
  const kind = study.method === "acr-hr" ? "acr" : study.method;
  const state = { value: null, stored: null, following: null, busy: false, leaving: false };
  const status = el("p", { class: "status", role: "status" });
  const choices = answers().map(([value, text]) => choice("answer", value, text, keysOn() ? keyOf(value) : ""));
  const next = button(t(slot.next ? "next_video" : "to_end"), () => leave());
  const replays = plays.filter((each) => each.side === 0 && !each.marked).length - 1;
  const replay = study.replays > replays && replays >= 0
    ? button(t("see_again"), () => { if (state.stored === null && !state.busy) { onKey = null; watch(slot, plays); } }, false) : null;
  const keys = study.number_keys ? el("label", { class: "check small" },
    el("input", { type: "checkbox", onchange: (event) => {
      kept(KEYS, event.target.checked ? null : "off");
      choices.forEach((each) => { const key = each.querySelector(".key"); if (key) key.hidden = !event.target.checked; });
    } }), t("number_keys")) : null;
  if (keys) keys.querySelector("input").checked = keysOn();
  show(null, el("div", { class: "card" }, el("p", { class: "quiet small" }, placeOf(slot)),
    el("fieldset", {}, el("legend", {}, t(`question_${kind}`)), el("div", { class: "choices" }, ...choices)),
    slot.training ? el("p", { class: "quiet small" }, t("training_note")) : null,
    status, el("div", { class: "actions" }, next, replay), keys));
  document.documentElement.classList.add("rating-page");

  const say = (text, bad = false) => { status.textContent = text; status.classList.toggle("bad", bad); };
  const textOf = (value) => answers().find(([each]) => each === value)[1];
  const chosen = () => (main.querySelector("input[name=answer]:checked") || {}).value ?? null;

  async function send(value) {
    if (state.busy || value === null || value === state.stored) return;
    state.busy = true;
    if (replay) replay.hidden = true;
    say(t("waiting"));
    const first = state.stored === null;
    const body = { key: secret(), slot: slot.slot, value: Number(value) };
    if (first) body.plays = plays.map(({ marked, ...facts }) => facts);
    try {
      state.following = await deliver(first ? "/api/vote" : "/api/correct", body);
      state.stored = value;
      say(t("stored", { answer: textOf(value) }));
    } catch (error) {
      state.busy = false;
      if (error.code === "play_again") { onKey = null; return again(slot, error.body.disturbed.split(" "), plays.map((each) => ({ ...each, marked: true }))); }
      onKey = null;
      return recover(error);
    }
    state.busy = false;
    // Another answer was chosen meanwhile.
    if (chosen() !== state.stored && !state.leaving) await send(chosen());
    else if (state.leaving) await leave();
  }

  async function leave() {
    if (chosen() === null) return say(t("choose_first"), true);
    state.leaving = true;
    if (state.busy) return;
    if (chosen() !== state.stored) return send(chosen());
    onKey = null;
    state.leaving = false;
    state.busy = true;
    const following = state.following;
    if (following.page === "slot" && following.training === slot.training) { release(following); await watch(following); }
    else await go(following);
  }

  // A tap or a number stores at once; arrows move between answers, and "next" stores.
  choices.forEach((each) => each.addEventListener("click", (event) => {
    if (event.target.matches("input") && pointed) { send(event.target.value); next.focus({ preventScroll: true }); }
  }));
  let pointed = false;
  main.onpointerdown = () => { pointed = true; };
  main.onkeydown = () => { pointed = false; };
  onKey = (event) => {
    if (!stage.hidden) return;
    const found = keysOn() && choices.find((each) => (each.querySelector(".key") || {}).textContent === event.key);
    if (found) {
      event.preventDefault();
      const input = found.querySelector("input");
      input.checked = true;
      next.focus({ preventScroll: true });
      send(input.value);
    } else if (event.key === "Enter" && document.activeElement !== next && !document.activeElement.matches("button")) {
      event.preventDefault();
      leave();
    }
  };
}

const keysOn = () => study.number_keys && kept(KEYS) !== "off";

// ---- between sessions, and the end

function pause(page) {
  const until = Date.now() + 1000 * page.seconds;
  const local = new Date(until).toLocaleTimeString(texts.language || undefined, { hour: "2-digit", minute: "2-digit" });
  const status = el("p", { role: "status" }, page.seconds > 0 ? t("break_until", { time: local }) : t("break_over"));
  const next = button(t("break_go_on", { turn: page.turn }), () => { if (next.getAttribute("aria-disabled") !== "true") { onceMore(); } });
  const onceMore = once(() => post("/api/continue"));
  next.setAttribute("aria-disabled", String(page.seconds > 0));
  show(t("break_title"), el("p", {}, t("break_text", { done: page.turn - 1, of: page.sessions })), status,
    el("div", { class: "actions" }, next));
  if (document.fullscreenElement) document.exitFullscreen().catch(() => {});
  if (page.seconds > 0 && !preview) setTimeout(() => {
    status.textContent = t("break_over");
    next.setAttribute("aria-disabled", "false");
  }, 1000 * page.seconds + 500);
}

async function thanks() {
  // Never while a vote waits for its answer.
  if (kept(KEPT) && !preview) { await deliverKept().catch(() => {}); return refresh().catch(problem); }
  if (document.fullscreenElement) document.exitFullscreen().catch(() => {});
  show(t("thanks_title"), el("p", {}, t("thanks_text")));
}

function closed() {
  show(t("closed_title"), el("p", {}, t("closed_text")));
}

begin();
