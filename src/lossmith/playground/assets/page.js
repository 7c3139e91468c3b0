"use strict";
const token = new URLSearchParams(location.search).get("token");
const at = (id) => document.getElementById(id);
// The conversation is this page's own: another tab, or the page opened anew, begins another.
const page = [...crypto.getRandomValues(new Uint8Array(16))].map((one) => one.toString(16).padStart(2, "0")).join("");
const SHOWN_CHUNKS = 8;
let offered = null;
let models = [];
let running = null;
let picks = 0;

function make(tag, text, kind) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

async function call(path, body, signal) {
  const how = { headers: { "X-Lossmith-Token": token, "X-Lossmith-Page": page }, signal };
  if (body !== undefined) {
    how.method = "POST";
    how.headers["Content-Type"] = "application/json";
    how.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(path, how);
  } catch (problem) {
    if (problem.name === "AbortError") throw problem;
    throw new Error("The server does not answer. Is lossmith playground still running?");
  }
  if (!answer.ok) throw new Error((await answer.json()).error);
  return answer;
}

function tell(problem) {
  at("problem").hidden = !problem;
  at("problem").textContent = problem ? problem.message || String(problem) : "";
}

function ticked(id) {
  return [...at(id).querySelectorAll("input:checked")].map((box) => box.value);
}

// What the names of all models begin with says nothing of one.
function short(name) {
  const parts = offered.models.map((one) => one.split("/").slice(0, -1).join("/"));
  const shared = parts.every((part) => part === parts[0]) && parts[0] ? `${parts[0]}/` : "";
  return name.startsWith(shared) ? name.slice(shared.length) : name;
}

function choice(name, shown, about, more) {
  const label = make("label", undefined, "choice");
  const box = make("input");
  box.type = "checkbox";
  box.value = name;
  label.title = more;
  const text = make("span", shown);
  text.append(make("small", about));
  label.append(box, text);
  return label;
}

function setting(name) {
  const label = make("label", name, "line");
  let input = make("input");
  if (name === "do_sample") {
    input = make("select");
    for (const [value, shown] of [["", "as set"], ["true", "yes"], ["false", "no"]]) {
      const one = make("option", shown);
      one.value = value;
      input.append(one);
    }
  } else {
    input.type = "number";
    input.step = "any";
  }
  input.dataset.setting = name;
  label.append(input);
  return label;
}

async function begin() {
  offered = await (await call("/offered")).json();
  at("models").replaceChildren(...offered.models.map((name) => choice(name, short(name), "", name)));
  at("presets").replaceChildren(...offered.presets.map((one) => choice(one.name, one.name, one.about, one.settings)));
  at("settings").replaceChildren(...offered.settings.map(setting));
  at("seed").value = offered.seed;
  // In a narrow window the question would else lie below all that is rarely changed.
  at("writing").open = matchMedia("(min-width: 761px)").matches;
  at("state").textContent = `${offered.models.length} ${offered.models.length === 1 ? "model" : "models"} to ask`;
  if (offered.models.length === 1) {
    at("models").querySelector("input").checked = true;
    await pick();
  }
}

async function pick() {
  const mine = ++picks;
  tell(null);
  const names = ticked("models");
  at("ask").disabled = true;
  at("state").textContent = names.length ? "opening …" : "no model is picked";
  try {
    const found = await (await call("/pick", { models: names })).json();
    if (mine !== picks) return;
    models = found.models;
    for (const box of at("models").querySelectorAll("input")) {
      const opened = models.find((one) => one.name === box.value);
      box.parentElement.querySelector("small").textContent = opened ? opened.kind : "";
    }
    at("state").textContent = models.length ? "ready" : "no model is picked";
    tell(models.flatMap((one) => one.notes).join("\n"));
    drawFields(found.fields);
  } catch (problem) {
    if (mine === picks) {
      at("state").textContent = "not opened";
      tell(problem);
    }
  }
}

function drawFields(names) {
  const kept = values();
  const criteria = Object.assign({}, ...models.map((one) => one.criteria));
  at("fields").replaceChildren(...names.map((name) => {
    const label = make("label", name, "field");
    let input = make("textarea");
    if (name === "criterion" && Object.keys(criteria).length) {
      input = make("select");
      for (const [key, text] of Object.entries(criteria)) {
        const one = make("option", `${key}: ${text}`);
        one.value = key;
        input.append(one);
      }
    }
    input.dataset.field = name;
    if (kept[name] !== undefined) input.value = kept[name];
    if (input.value === "" && input.options) input.selectedIndex = 0;
    label.append(input);
    return label;
  }));
  if (!models.length) at("fields").append(make("p", "Pick a model on the left to ask it.", "hint"));
  at("ask").disabled = !models.length || running !== null;
  at("new").hidden = !models.some((one) => one.remembers);
  at("writing").hidden = models.length > 0 && models.every((one) => one.settings === null);
  showOwnSettings();
}

// What holds where nothing is written: a setting on which the runs of all picked models agree.
function showOwnSettings() {
  const own = ticked("presets").length ? [] : models.map((one) => one.settings).filter((one) => one !== null);
  for (const input of document.querySelectorAll("input[data-setting]")) {
    const found = new Set(own.map((one) => one[input.dataset.setting]));
    input.placeholder = found.size === 1 ? [...found][0] ?? "" : "";
  }
}

function values() {
  const found = {};
  for (const input of document.querySelectorAll("[data-field]")) found[input.dataset.field] = input.value;
  return found;
}

function settings() {
  const found = {};
  for (const input of document.querySelectorAll("[data-setting]")) {
    if (input.value !== "") found[input.dataset.setting] = input.options ? input.value === "true" : Number(input.value);
  }
  return found;
}

function card(round, name) {
  if (!round.cards.has(name)) {
    const drawn = make("section", undefined, "voice running");
    const text = make("p", "", "text");
    text.dir = "auto";
    const about = make("p", "", "about");
    drawn.append(make("h2", short(name)), text, about);
    drawn.title = name;
    round.voices.append(drawn);
    round.cards.set(name, { drawn, text, about });
  }
  return round.cards.get(name);
}

function grow(one, told) {
  // Whoever reads further up stays there.
  const follows = one.text.scrollHeight - one.text.scrollTop - one.text.clientHeight < 30;
  one.text.append(told.piece);
  if (follows) one.text.scrollTop = one.text.scrollHeight;
  one.tokens = told.tokens;
  one.about.textContent = `${told.tokens} tokens`;
}

function finish(one, reply) {
  one.drawn.classList.remove("running");
  if (reply.text === undefined) one.text.remove();
  else one.text.textContent = reply.text;
  if (reply.text !== undefined && !reply.text.trim()) {
    one.text.replaceChildren(make("i", reply.text ? "an answer of blanks alone" : "an empty answer"));
  }
  if (reply.scores) drawScores(one.drawn, reply);
  if (reply.evidence) drawEvidence(one.drawn, reply.evidence);
  if (reply.error) one.drawn.append(make("p", reply.error, "error"));
  const about = [];
  if (reply.tokens !== undefined) about.push(`${reply.tokens} ${reply.tokens === 1 ? "token" : "tokens"}`);
  if (reply.seconds !== undefined) {
    about.push(reply.seconds < 1 ? `${Math.round(1000 * reply.seconds)} ms` : `${reply.seconds.toFixed(1)} s`);
  }
  if (reply.stopped) about.push("stopped");
  else if (reply.finished === false) about.push("cut at max_new_tokens");
  one.about.textContent = [...about, ...(reply.notes || [])].join(" · ");
  one.drawn.append(one.about);
}

function drawScores(drawn, reply) {
  // An answer that could not be read predicts nothing; an empty one says that no label holds.
  if (reply.predicted !== null) drawn.append(make("p", `predicted: ${reply.predicted || "no label"}`, "predicts"));
  const said = new Set((reply.predicted || "").split(", "));
  for (const [name, score] of Object.entries(reply.scores).sort((a, b) => b[1] - a[1])) {
    const row = make("div", undefined, said.has(name) ? "score predicted" : "score");
    const bar = make("span", undefined, "bar");
    const filled = make("i");
    filled.style.width = `${100 * score}%`;
    bar.append(filled);
    row.append(make("span", name), bar, make("span", score.toFixed(4), "number"));
    drawn.append(row);
  }
}

function drawEvidence(drawn, evidence) {
  drawn.append(make("p", "Evidence, by importance (fall of the log-odds without it):", "about"));
  const list = make("ul", undefined, "evidence");
  for (const one of evidence.slice(0, SHOWN_CHUNKS)) {
    const item = make("li", one.text, one.importance < 0 ? "against" : "");
    item.append(" ", make("span", `${one.importance >= 0 ? "+" : ""}${one.importance.toFixed(3)}`, "number"));
    list.append(item);
  }
  drawn.append(list);
  if (evidence.length > SHOWN_CHUNKS) drawn.append(make("p", `${evidence.length - SHOWN_CHUNKS} further chunks were read`, "about"));
}

function newRound(fields) {
  const drawn = make("article", undefined, "round");
  const asked = make("dl", undefined, "asked");
  for (const [name, text] of Object.entries(fields)) {
    const said = make("dd", text);
    said.dir = "auto";
    if (Object.keys(fields).length > 1) asked.append(make("dt", name));
    asked.append(said);
  }
  const voices = make("div", undefined, "voices");
  drawn.append(asked, voices);
  at("answers").prepend(drawn);
  return { drawn, voices, cards: new Map() };
}

function run(controller) {
  running = controller;
  at("ask").disabled = controller !== null || !models.length;
  at("stop").hidden = controller === null;
  at("state").textContent = controller !== null ? "answering …" : "ready";
}

async function ask(event) {
  event.preventDefault();
  if (running !== null || at("ask").disabled) return;
  tell(null);
  run(new AbortController());
  const fields = values();
  let round = null;
  try {
    const body = { models: models.map((one) => one.name), presets: ticked("presets"), settings: settings(), fields };
    if (at("seed").value !== "") body.seed = Number(at("seed").value);
    const answer = await call("/ask", body, running.signal);
    round = newRound(fields);
    await read(answer, round);
    if (at("seed").value !== "") at("seed").value = Number(at("seed").value) + 1;
  } catch (problem) {
    if (problem.name !== "AbortError") tell(problem);
  }
  for (const one of round ? round.cards.values() : []) {
    if (one.drawn.classList.contains("running")) finish(one, { text: one.text.textContent, tokens: one.tokens, stopped: true });
  }
  run(null);
  at("saving").hidden = at("saving").hidden && round === null;
}

async function read(answer, round) {
  const reader = answer.body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    rest += decoder.decode(value, { stream: !done });
    const lines = rest.split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const told = JSON.parse(line);
      if (told.error) throw new Error(told.error);
      const one = card(round, told.voice);
      if (told.reply) finish(one, told.reply);
      else grow(one, told);
    }
    if (done) return;
  }
}

function forget() {
  at("answers").replaceChildren();
  at("saving").hidden = true;
}

async function save(kind, name) {
  const text = await (await call(`/transcript?kind=${kind}`)).blob();
  const link = make("a");
  link.href = URL.createObjectURL(text);
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

at("models").addEventListener("change", pick);
at("presets").addEventListener("change", showOwnSettings);
at("question").addEventListener("submit", ask);
at("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) ask(event);
});
at("choices").addEventListener("submit", (event) => event.preventDefault());
at("stop").addEventListener("click", () => running && running.abort());
at("new").addEventListener("click", () => call("/new", {}).then(forget, tell));
at("transcript").addEventListener("click", () => save(".md", "transcript.md").catch(tell));
at("transcript-lines").addEventListener("click", () => save(".jsonl", "transcript.jsonl").catch(tell));
begin().catch(tell);
