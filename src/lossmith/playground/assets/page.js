"use strict";
const token = new URLSearchParams(location.search).get("token");
const at = (id) => document.getElementById(id);
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
  const how = { headers: { "X-Lossmith-Token": token }, signal };
  if (body !== undefined) {
    how.method = "POST";
    how.headers["Content-Type"] = "application/json";
    how.body = JSON.stringify(body);
  }
  const answer = await fetch(path, how);
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

function choice(name, shown) {
  const label = make("label", undefined, "choice");
  const box = make("input");
  box.type = "checkbox";
  box.value = name;
  label.title = name;
  label.append(box, make("span", shown));
  return label;
}

function number(name) {
  const label = make("label", name, "line");
  const input = make("input");
  input.type = "number";
  input.step = "any";
  input.dataset.setting = name;
  label.append(input);
  return label;
}

async function begin() {
  offered = await (await call("/offered")).json();
  at("models").replaceChildren(...offered.models.map((name) => choice(name, short(name))));
  at("presets").replaceChildren(...offered.presets.map((name) => choice(name, name)));
  at("settings").replaceChildren(...offered.settings.map(number));
  at("seed").value = offered.seed;
  at("state").textContent = `${offered.models.length} models`;
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
  at("state").textContent = names.length ? "opening" : "no model is picked";
  try {
    const found = (await (await call("/pick", { models: names })).json()).models;
    if (mine !== picks) return;
    models = found;
    at("state").textContent = models.map((one) => `${short(one.name)}: ${one.kind}`).join(", ") || "no model is picked";
    tell(models.flatMap((one) => one.notes).join("\n"));
    drawFields();
  } catch (problem) {
    if (mine === picks) {
      at("state").textContent = "not opened";
      tell(problem);
    }
  }
}

function drawFields() {
  const kept = values();
  const names = [...new Set(models.flatMap((one) => one.fields))];
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
    label.append(input);
    return label;
  }));
  if (!models.length) at("fields").append(make("p", "Pick a model to ask.", "hint"));
  at("ask").disabled = !models.length || running !== null;
  at("new").hidden = !models.some((one) => one.remembers);
  at("writing").hidden = models.length > 0 && models.every((one) => one.settings === null);
}

function values() {
  const found = {};
  for (const input of document.querySelectorAll("[data-field]")) found[input.dataset.field] = input.value;
  return found;
}

function settings() {
  const found = {};
  for (const input of document.querySelectorAll("[data-setting]")) {
    if (input.value !== "") found[input.dataset.setting] = Number(input.value);
  }
  return found;
}

function card(round, name) {
  if (!round.cards.has(name)) {
    const drawn = make("section", undefined, "voice running");
    const text = make("p", "", "text");
    drawn.append(make("h2", short(name)), text);
    drawn.title = name;
    round.voices.append(drawn);
    round.cards.set(name, { drawn, text });
  }
  return round.cards.get(name);
}

function finish(one, reply) {
  one.drawn.classList.remove("running");
  if (reply.text === undefined) one.text.remove();
  else one.text.textContent = reply.text;
  if (reply.scores) drawScores(one.drawn, reply);
  if (reply.evidence) drawEvidence(one.drawn, reply.evidence);
  if (reply.error) one.drawn.append(make("p", reply.error, "error"));
  const about = [...(reply.notes || [])];
  if (reply.tokens !== undefined) about.unshift(`${reply.tokens} tokens`);
  if (reply.finished === false) about.push("cut at max_new_tokens");
  if (about.length) one.drawn.append(make("p", about.join(" · "), "about"));
}

function drawScores(drawn, reply) {
  drawn.append(make("p", `predicted: ${reply.predicted || "no label"}`));
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
  drawn.append(make("p", "Evidence, by how far the log-odds of the prediction fall without it:", "about"));
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
  const asked = Object.entries(fields).map(([name, text]) => (Object.keys(fields).length > 1 ? `${name}: ${text}` : text));
  const voices = make("div", undefined, "voices");
  drawn.append(make("p", asked.join("\n"), "asked"), voices);
  at("answers").prepend(drawn);
  return { voices, cards: new Map() };
}

async function ask(event) {
  event.preventDefault();
  if (running !== null || at("ask").disabled) return;
  tell(null);
  running = new AbortController();
  at("ask").disabled = true;
  at("stop").disabled = false;
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
    if (one.drawn.classList.contains("running")) finish(one, { text: one.text.textContent, notes: ["stopped"] });
  }
  running = null;
  at("ask").disabled = !models.length;
  at("stop").disabled = true;
  at("transcript").disabled = at("transcript-lines").disabled = false;
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
      const one = card(round, told.voice);
      if (told.piece !== undefined) one.text.textContent += told.piece;
      if (told.reply) finish(one, told.reply);
    }
    if (done) return;
  }
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
at("question").addEventListener("submit", ask);
at("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) ask(event);
});
at("choices").addEventListener("submit", (event) => event.preventDefault());
at("stop").addEventListener("click", () => running && running.abort());
at("new").addEventListener("click", () => call("/new", {}).then(() => at("answers").replaceChildren(), tell));
at("transcript").addEventListener("click", () => save(".md", "transcript.md").catch(tell));
at("transcript-lines").addEventListener("click", () => save(".jsonl", "transcript.jsonl").catch(tell));
begin().catch(tell);
