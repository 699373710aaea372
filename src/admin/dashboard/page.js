"use strict";
// The page shows what /stats, /history and /events say, and acts by /purge and /explain. It holds the token in a
// variable alone.

const POLL = 5000;
const SILENCE = 10000;
const at = (id) => document.getElementById(id);
let history = { every: 10, steps: [], rules: {} };
let stats = null;
let heard = 0;
let sorted = { column: "requests", up: false };

// --- words ---

const number = (value) => value.toLocaleString("en", { maximumFractionDigits: value !== 0 && Math.abs(value) < 10 ? 2 : 1 });
const percent = (part) => (part === null || part === undefined ? "–" : `${(100 * part).toFixed(1)} %`);

function time(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  return ms < 1000 ? `${number(ms)} ms` : `${number(ms / 1000)} s`;
}

function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const units = [["d", 86400], ["h", 3600], ["min", 60]];
  for (const [unit, size] of units) if (seconds >= 2 * size) return `${number(seconds / size)} ${unit}`;
  return `${number(seconds)} s`;
}

function size(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  for (const [unit, one] of [["MB", 1e6], ["KB", 1e3]]) if (bytes >= one) return `${number(bytes / one)} ${unit}`;
  return `${bytes} B`;
}

function make(tag, text, attributes = {}) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// --- charts ---

const SVG = "http://www.w3.org/2000/svg";

// Lines over 100 × 30; null is a gap. All share one scale, from 0 to `most` or what is largest.
function chart(lines, label, most) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 100 30");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  const top = most ?? Math.max(1e-9, ...lines.flat().filter((value) => value !== null));
  lines.forEach((line, index) => {
    let d = "";
    line.forEach((value, i) => {
      if (value === null) return;
      const x = line.length > 1 ? (100 * i) / (line.length - 1) : 0;
      const begins = i === 0 || line[i - 1] === null;
      d += `${begins ? "M" : "L"}${x.toFixed(2)} ${(29 - (28 * Math.min(value, top)) / top).toFixed(2)}h.01`;
    });
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    if (index > 0) path.setAttribute("class", "second");
    svg.append(path);
  });
  return svg;
}

function showCharts() {
  const steps = history.steps;
  const of = (name) => steps.map((step) => step[name]);
  const rate = (step) => (step.lookups > 0 ? step.hits / step.lookups : null);
  const perSecond = (step) => (step.seconds > 0 ? step.requests / step.seconds : 0);
  const last = steps[steps.length - 1];
  const charts = [
    ["Requests a second", [steps.map(perSecond)], last && number(perSecond(last))],
    ["Hit rate", [steps.map(rate)], last && percent(rate(last)), 1],
    ["Hits: p50, and p99 dashed", [of("hit_p50_ms"), of("hit_p99_ms")], last && time(last.hit_p99_ms)],
    ["App: p50, and p99 dashed", [of("app_p50_ms"), of("app_p99_ms")], last && time(last.app_p99_ms)],
    ["Memory, and Redis dashed", [of("memory_mb"), of("redis_mb")], last && `${number(last.memory_mb)}, ${number(last.redis_mb)} MB`],
    ["Evictions from memory, and Redis dashed", [of("memory_evictions"), of("redis_evictions")], last && `${number(last.memory_evictions)}, ${number(last.redis_evictions)}`],
  ];
  at("charts").replaceChildren(...charts.map(([name, lines, now, most]) => {
    const figure = make("figure");
    const words = now ? `${name}: ${now} now` : `${name}: nothing yet`;
    figure.append(make("figcaption", words), chart(lines, `${name}, the last hour`, most));
    return figure;
  }));
}

// --- figures ---

function bar(name, usage) {
  if (!usage.limit_mb) return [];
  const full = usage.percent ?? 0;
  const box = make("div", undefined, { class: full >= 95 ? "bar full" : "bar" });
  const words = `${number(usage.used_mb)} of ${number(usage.limit_mb)} MB, ${full} %`;
  const track = make("div", undefined, {
    class: "track", role: "meter", "aria-label": name, "aria-valuemin": 0, "aria-valuemax": 100,
    "aria-valuenow": Math.min(100, full), "aria-valuetext": words,
  });
  const used = make("div", undefined, { class: "used" });
  used.style.width = `${Math.min(100, full)}%`;
  track.append(used);
  box.append(make("div", `${name}: ${words}`), track);
  return [box];
}

function showFigures() {
  const last = history.steps[history.steps.length - 1];
  at("version").textContent = stats.version;
  at("hit-rate").textContent = percent(stats.hit_rate);
  at("rate").textContent = number(stats.requests_per_second);
  at("saved").textContent = span(stats.saved_seconds);
  at("hit-times").textContent = last ? `${time(last.hit_p50_ms)}, ${time(last.hit_p99_ms)}` : time(stats.mean_hit_ms);
  at("app-times").textContent = last ? `${time(last.app_p50_ms)}, ${time(last.app_p99_ms)}` : time(stats.mean_app_ms);
  const shared = stats.redis.state !== "absent";
  at("keys").textContent = shared ? `${number(stats.redis.entries)} in Redis, ${number(stats.memory.entries)} here` : number(stats.memory.entries);
  // What is in Redis is of all sidecars, and each has some of it leave.
  const evicted = history.steps.reduce((sum, step) => sum + (shared ? step.redis_evictions : step.memory_evictions), 0);
  at("evictions").textContent = number(shared ? stats.fleet?.total.evicted_in_hour ?? evicted : evicted);
  const connections = stats.redis.connections;
  at("redis").textContent = !shared ? "none" : connections ? `${stats.redis.state}, ${connections.used} of ${connections.max} connections` : stats.redis.state;
  at("uptime").textContent = span(stats.uptime);
  const redis = stats.redis.limited_by === "server" ? "Redis, by what the server has room for" : "Redis";
  at("bars").replaceChildren(...bar("Memory", stats.memory), ...(shared ? bar(redis, stats.redis) : []));
}

function showState() {
  const lost = Date.now() - heard > SILENCE;
  const word = lost ? "no answer" : stats.state.word;
  if (at("word").textContent !== word) at("word").textContent = word;
  at("state").className = `state ${lost ? "lost" : word}`;
  const since = Math.round((Date.now() - heard) / 1000);
  // Not in what is read out: it changes every second.
  at("freshness").textContent = lost ? `The sidecar was last heard ${since} s ago.` : "";
  const reasons = lost ? [] : stats.state.reasons;
  const shown = [...at("reasons").children].map((item) => item.textContent);
  if (shown.join("\n") !== reasons.join("\n")) {
    at("reasons").replaceChildren(...reasons.map((reason) => make("li", reason)));
  }
}

// --- routes ---

const COLUMNS = [
  ["name", "Route", (value) => value],
  ["priority", "Priority", (value) => value ?? "–"],
  ["mode", "Mode", (value) => value ?? "–"],
  ["percent", "Share", (value) => (value === undefined ? "–" : `${value} %`)],
  ["ttl", "TTL", span],
  ["requests", "Requests", number],
  ["hit_rate", "Hit rate", percent],
  ["saved_seconds", "App time saved", span],
  ["held_bytes", "Bytes", size],
  ["mean_hit_ms", "Mean hit", time],
  ["mean_app_ms", "Mean app", time],
];

function rows() {
  const wanted = at("filter").value.toLowerCase();
  const routes = Object.fromEntries(stats.routes.map((route) => [route.name, route]));
  const names = new Set([...Object.keys(routes), ...Object.keys(stats.rules)]);
  const idle = { requests: 0, hit_rate: null, saved_seconds: null, mean_hit_ms: null, mean_app_ms: null };
  const found = [...names].map((name) => ({ name, ...idle, ...routes[name], ...stats.rules[name] }));
  const { column, up } = sorted;
  const order = (one, other) => {
    const [a, b] = [one[column] ?? -1, other[column] ?? -1];
    const first = typeof a === "string" || typeof b === "string" ? String(a).localeCompare(String(b)) : a - b;
    return (up ? first : -first) || one.name.localeCompare(other.name);
  };
  return found.filter((row) => row.name.toLowerCase().includes(wanted)).sort(order);
}

function showRoutes() {
  const found = rows();
  at("none").hidden = found.length > 0;
  at("rows").replaceChildren(...found.map((row) => {
    const line = make("tr");
    for (const [key, , words] of COLUMNS) {
      const cell = key === "name" ? make("th", row.name === "-" ? "no route" : row.name, { scope: "row" }) : make("td", words(row[key]));
      line.append(cell);
    }
    const minutes = (history.rules[row.name] ?? []).map(([requests]) => requests);
    const cell = make("td");
    cell.append(chart([minutes], `Requests of ${row.name} by minute`));
    line.append(cell);
    return line;
  }));
}

function showColumns() {
  const heads = COLUMNS.map(([key, words]) => {
    const head = make("th", undefined, { scope: "col" });
    if (sorted.column === key) head.setAttribute("aria-sort", sorted.up ? "ascending" : "descending");
    const button = make("button", words, { type: "button", "data-column": key });
    button.addEventListener("click", () => {
      sorted = { column: key, up: sorted.column === key ? !sorted.up : key === "name" };
      showColumns();
      showRoutes();
      document.querySelector(`[data-column="${key}"]`).focus();
    });
    head.append(button);
    return head;
  });
  at("columns").replaceChildren(...heads, make("th", "Last hour", { scope: "col" }));
}

// What can be switched: everything, and each rule.
function showRules() {
  const names = stats.routes.map((route) => route.name);
  const shown = [...at("switch-rule").options].map((option) => option.value);
  if (["", ...names].join("\n") === shown.join("\n")) return;
  const options = names.map((name) => make("option", name === "-" ? "no route" : name, { value: name }));
  const chosen = at("switch-rule").value;
  at("switch-rule").replaceChildren(make("option", "everything", { value: "" }), ...options);
  at("switch-rule").value = names.includes(chosen) ? chosen : "";
  showPercent();
}

const SIDECAR = [
  ["name", "Sidecar", (value) => value],
  ["state", "State", (value) => value],
  ["version", "Version", (value) => value],
  ["config_hash", "Config", (value) => value],
  ["uptime", "Up for", span],
  ["requests", "Requests", number],
  ["requests_per_second", "A second", number],
  ["hit_rate", "Hit rate", percent],
  ["saved_seconds", "App time saved", span],
  ["memory_used_mb", "Memory", (value) => `${number(value)} MB`],
  ["age", "Heard", (value) => `${number(value)} s ago`],
];

// All sidecars, if there are others, and their sums.
function showFleet() {
  const fleet = stats.fleet;
  at("fleet").hidden = !fleet?.shared;
  if (!fleet?.shared) return;
  const line = (row) => {
    const cells = SIDECAR.map(([key, , words], column) => {
      const text = row[key] === undefined ? "" : words(row[key]);
      return column === 0 ? make("th", text, { scope: "row" }) : make("td", text);
    });
    const element = make("tr");
    element.append(...cells);
    return element;
  };
  const named = fleet.sidecars.map((sidecar) => (sidecar.this ? { ...sidecar, name: `${sidecar.name} (this one)` } : sidecar));
  const all = { ...fleet.total, name: `all ${fleet.sidecars.length}` };
  at("fleet-columns").replaceChildren(...SIDECAR.map(([, words]) => make("th", words, { scope: "col" })));
  at("fleet-rows").replaceChildren(...[...named, all].map(line));
}

// --- jobs ---

const LIVELY = ["queued", "waiting", "running"];

// Drawn anew only when it has changed, so that a button keeps its focus.
function showJobs(listing) {
  const text = JSON.stringify(listing.jobs);
  if (at("jobs").dataset.shown === text) return;
  at("jobs").dataset.shown = text;
  at("jobs").hidden = listing.jobs.length === 0;
  at("job-rows").replaceChildren(...listing.jobs.map(jobRow));
}

function jobRow(job) {
  const when = [job.on_start && "at the start", job.schedule && `${job.schedule}, next ${job.next}`, job.after && `after ${job.after.join(", ")}`];
  const last = job.last ?? { state: "not yet", settled: 0, total: 0 };
  const state = [last.state, last.holder && `on ${last.holder}`, last.ended, last.last_error].filter(Boolean).join(", ");
  const far = make("td", `${last.settled} of ${last.total} `);
  if (last.state === "running") far.append(make("progress", "", { value: last.settled, max: Math.max(last.total, 1), "aria-label": job.name }));
  const order = make("td", "");
  order.append(jobButton(job, last));
  const row = make("tr");
  row.append(make("th", job.name, { scope: "row" }), make("td", when.filter(Boolean).join("; ")), make("td", state), far, order);
  return row;
}

function jobButton(job, last) {
  const lively = LIVELY.includes(last.state);
  const button = make("button", `${lively ? "Cancel" : "Run"} ${job.name}`, { type: "button" });
  button.addEventListener("click", async () => {
    const found = lively ? await act(`jobs/${last.id}`, null, "DELETE") : await act(`jobs/${job.name}/run`, {});
    if (found) tell(lively ? `Cancelled ${job.name}.` : `${job.name} runs as ${found.id}.`);
    readJobs();
  });
  return button;
}

async function readJobs() {
  try {
    showJobs(await read("jobs"));
  } catch {
    // The next news bring it.
  }
}

// Those that are being carried out, and those that Redis is yet to be told.
function showPurges() {
  const purges = (stats.purges ?? []).map(({ what, seconds, keys_less: less }) => `${what}: for ${span(seconds)}, ${number(less)} keys less so far`);
  const waiting = stats.redis.pending_purges;
  if (waiting > 0) purges.push(`${number(waiting)} wait until Redis can be reached; what they cover is not served from it`);
  at("purges").hidden = purges.length === 0;
  at("purge-list").replaceChildren(...purges.map((words) => make("li", words)));
}

function showAdvice() {
  const advice = stats.advice ?? [];
  at("advice").hidden = advice.length === 0;
  at("advice-list").replaceChildren(...advice.map((item) => {
    const line = make("li");
    line.append(make("code", item.about), `: ${item.words}`);
    return line;
  }));
}

function show() {
  if (!stats) return;
  showState();
  showFigures();
  showRoutes();
  showRules();
  showFleet();
  showPurges();
  showAdvice();
}

// --- news ---

const fields = () => (at("token").value ? { Authorization: `Bearer ${at("token").value}` } : {});

async function read(path) {
  const answer = await fetch(path, { headers: fields(), cache: "no-store", signal: AbortSignal.timeout(SILENCE) });
  if (!answer.ok) throw new Error(`${path} answers ${answer.status}`);
  return answer.json();
}

function take(news) {
  heard = Date.now();
  stats = news.stats;
  const last = history.steps[history.steps.length - 1];
  if (news.step && (!last || last.at < news.step.at)) {
    history.steps = [...history.steps, news.step].slice(-360);
    showCharts();
  }
  show();
  readJobs();
}

async function readAll() {
  history = await read("history");
  take({ stats: await read("stats?fleet=true"), step: null });
  showCharts();
}

// What ends the events that are being read: a connection that leads nowhere any more says nothing, for ever.
let listening = new AbortController();

// Server-sent events, read by fetch, which can send the token and EventSource cannot.
async function follow() {
  listening = new AbortController();
  const answer = await fetch("events", { headers: fields(), cache: "no-store", signal: listening.signal });
  if (!answer.ok) throw new Error(`events answers ${answer.status}`);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const events = text.split("\n\n");
    text = events.pop();
    for (const event of events) {
      const data = event.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6)).join("\n");
      if (data) take(JSON.parse(data));
    }
  }
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function listen() {
  for (;;) {
    try {
      await readAll();
      await follow();
    } catch (error) {
      if (stats) showState();
      else at("word").textContent = error.message.endsWith("401") ? "write the token below" : `no answer: ${error.message}`;
    }
    await pause(POLL);
  }
}

// --- acting ---

function tell(words, refused) {
  at("done").textContent = words;
  at("done").className = refused ? "refused" : "";
}

async function act(path, body, method = "POST") {
  tell("…");
  try {
    const headers = { "Content-Type": "application/json", ...fields() };
    const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.error ?? `${path} answers ${answer.status}`);
    return found;
  } catch (error) {
    tell(`Refused: ${error.message}`, true);
    return null;
  }
}

async function purge(body) {
  const found = await act("purge", body);
  if (!found) return;
  const { memory, redis } = found.purged;
  const removed = redis === null || redis === undefined ? `${memory} entries` : `${memory} entries here, ${redis} in Redis`;
  tell(`Purged: ${removed}${found.pending ? "; Redis is told as soon as it can be reached" : ""}.`);
}

// The whole URL, as clients ask for it: what is stored for one host is not for another, and this page has a host of its own.
function wholeUrl(text, host) {
  try {
    const origin = () => new URL(host.includes("://") ? host : `http://${host}`).origin;
    const url = new URL(text.startsWith("/") ? origin() + text : text);
    return /^https?:$/.test(url.protocol) && url.host ? url : null;
  } catch {
    return null;
  }
}

at("purge-form").addEventListener("submit", (event) => {
  event.preventDefault();
  purge({ [at("purge-kind").value]: [at("purge-what").value] });
});

at("clear-form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (at("clear-word").value !== "clear") return tell("Write clear into the field first.", true);
  at("clear-word").value = "";
  purge({ everything: true });
});

// A percentage is of a rule's keys.
function showPercent() {
  const rule = at("switch-rule").value;
  at("switch-percent").disabled = !rule;
  if (!rule) at("switch-percent").value = "";
}

at("switch-rule").addEventListener("change", showPercent);

at("switch-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const [rule, mode, percent] = ["switch-rule", "switch-mode", "switch-percent"].map((id) => at(id).value);
  if (!mode && !(rule && percent)) return tell(rule ? "Say what it is to be: a mode, a percentage, or both." : "Say what everything is to be: a mode.", true);
  const order = rule ? { rule } : { everything: mode };
  if (rule && mode) order.mode = mode;
  if (rule && percent) order.percent = Number(percent);
  order.reason = "by the page";
  const found = await act("switch", order);
  if (found) tell(`Switched ${rule || "everything"}: ${[mode, order.percent && `${percent} %`].filter(Boolean).join(", ")}. It holds ${found.holds}.`);
});

at("explain-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const url = wholeUrl(at("explain-url").value.trim(), at("explain-host").value.trim());
  if (!url) return tell("Write a whole URL, or a path and the host that clients ask for.", true);
  at("explain-host").value = url.origin;
  const found = await act("explain", { method: "GET", target: url.origin + url.pathname + url.search, headers: [] });
  at("story").hidden = !found;
  if (!found) return;
  at("story").textContent = JSON.stringify(found, null, 2);
  tell(`What is known of ${url}:`);
});

at("filter").addEventListener("input", showRoutes);
showColumns();
setInterval(() => {
  if (!stats) return;
  showState();
  if (Date.now() - heard > SILENCE) listening.abort();
}, 1000);
// What is kept by rule and minute comes with no event.
setInterval(() => read("history").then((found) => { history = found; showCharts(); }, () => {}), 60000);
listen();
