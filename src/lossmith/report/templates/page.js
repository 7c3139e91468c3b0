"use strict";
(() => {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const tip = document.getElementById("tip");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
  const name = () => { if (button) button.textContent = dark() ? "Light" : "Dark"; };
  // Storage may be closed to files opened from disk; the choice then lasts as long as the page.
  const stored = (value) => {
    try {
      if (value) localStorage.setItem("lossmith-theme", value);
      return localStorage.getItem("lossmith-theme");
    } catch { return null; }
  };
  const kept = stored();
  if (kept === "dark" || kept === "light") root.dataset.theme = kept;
  if (button) {
    button.hidden = false;
    button.addEventListener("click", () => { stored(root.dataset.theme = dark() ? "light" : "dark"); name(); });
    system.addEventListener("change", name);
    name();
  }

  const show = (lines, x, y) => {
    tip.replaceChildren(...lines.map(([text, colour]) => {
      const line = document.createElement("div");
      if (colour) {
        const dot = document.createElement("i");
        dot.style.background = colour;
        line.append(dot);
      }
      line.append(text);
      return line;
    }));
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - box.width - 4))}px`;
    const above = y - box.height - 14;
    tip.style.top = `${above >= 4 ? above : Math.max(4, Math.min(y + 28, innerHeight - box.height - 4))}px`;
  };
  const hide = () => { tip.hidden = true; };
  const figure = (value) => Number(value.toPrecision(4)).toLocaleString("en-US", { maximumSignificantDigits: 4 });

  for (const area of document.querySelectorAll("[data-chart]")) {
    const chart = JSON.parse(area.querySelector("script").textContent);
    const rule = document.createElement("div");
    rule.className = "rule";
    rule.hidden = true;
    area.append(rule);
    const near = (points, step) => points.reduce((best, point) =>
      point[1] !== null && (!best || Math.abs(point[0] - step) < Math.abs(best[0] - step)) ? point : best, null);
    area.addEventListener("pointermove", (event) => {
      const box = area.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      const step = chart.x[0] + share * (chart.x[1] - chart.x[0]);
      const found = chart.lines.map((line) => [line, near(line.points, step)]).filter(([, point]) => point);
      if (!found.length) return;
      rule.hidden = false;
      rule.style.left = `${100 * share}%`;
      const around = (band) => band ? ` (${figure(band[0])} to ${figure(band[1])})` : "";
      show(found.map(([line, point]) => [`${line.label}: ${figure(point[1])}${around(line.band[point[0]])} at ${chart.at} ${point[0].toLocaleString("en-US")}`, line.colour]),
        event.clientX, event.clientY);
    });
    area.addEventListener("pointerleave", () => { rule.hidden = true; hide(); });
  }

  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open]):not(.withheld)")];
    for (const one of opened) one.open = true;
  });
  addEventListener("afterprint", () => { for (const one of opened) one.open = false; });

  const text = document.getElementById("tokens");
  if (text) {
    const tokens = JSON.parse(document.getElementById("token-facts").textContent);
    const panel = document.getElementById("token-panel");
    let current = null;
    const choose = (node) => {
      if (!node) return;
      if (current) current.classList.remove("current");
      current = node;
      node.classList.add("current");
      panel.replaceChildren(...tokens[Number(node.dataset.i)].map(([term, fact]) => {
        const row = document.createElement("div");
        const head = document.createElement("b");
        head.textContent = term;
        row.append(head, ` ${fact}`);
        return row;
      }));
    };
    const at = (event) => event.target.closest("[data-i]");
    text.addEventListener("pointerover", (event) => choose(at(event)));
    text.addEventListener("click", (event) => choose(at(event)));
    text.addEventListener("keydown", (event) => {
      if (event.key === "Escape") { panel.replaceChildren(); return; }
      const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!way) return;
      event.preventDefault();
      const place = current ? Number(current.dataset.i) + way : 0;
      const next = text.querySelector(`[data-i="${place}"]`);
      choose(next);
      if (next) next.scrollIntoView({ block: "nearest" });
    });
  }

  const reading = document.getElementById("evidence-text");
  if (reading) {
    const tips = JSON.parse(document.getElementById("evidence-tips").textContent);
    const ranked = document.querySelector(".ranked");
    let lit = [], pointer = null;
    const light = (rank) => {
      for (const one of lit) one.classList.remove("current");
      lit = rank ? [...document.querySelectorAll(`[data-e~="${rank}"], [data-rank="${rank}"]`)] : [];
      for (const one of lit) one.classList.add("current");
    };
    const away = () => { hide(); light(null); };
    // One chunk is told of wholly, what lies over it in a line each.
    const tell = (node, own, x, y) => {
      const others = node.dataset.e.split(" ").filter((rank) => rank !== own);
      const head = (rank) => [tips[Number(rank) - 1].head, tips[Number(rank) - 1].colour];
      light(own);
      show([head(own), ...tips[Number(own) - 1].lines.map((line) => [line]), ...others.slice(0, 4).map(head)], x, y);
    };
    const pointed = () => {
      const node = pointer && document.elementFromPoint(...pointer)?.closest("[data-e]");
      if (node) tell(node, node.dataset.e.split(" ")[0], ...pointer); else away();
    };
    const focused = () => {
      const mark = document.activeElement, node = reading.contains(mark) && mark.closest("[data-e]");
      if (!node) return false;
      const box = mark.getBoundingClientRect();
      tell(node, mark.id.replace("evidence-", ""), box.left, box.top);
      return true;
    };
    // A tap leaves at once and clicks then.
    for (const kind of ["pointermove", "click"]) {
      reading.addEventListener(kind, (event) => { pointer = [event.clientX, event.clientY]; pointed(); });
    }
    reading.addEventListener("pointerleave", () => { pointer = null; away(); });
    reading.addEventListener("focusin", focused);
    reading.addEventListener("focusout", away);
    // What takes the focus is scrolled to, and its figures go with it.
    addEventListener("scroll", () => { if (!focused()) pointed(); }, { passive: true });
    for (const kind of ["pointerover", "focusin"]) {
      ranked?.addEventListener(kind, (event) => light(event.target.closest("[data-rank]")?.dataset.rank));
    }
    ranked?.addEventListener("pointerleave", () => light(null));
    addEventListener("keydown", (event) => { if (event.key === "Escape") away(); });
  }
})();
