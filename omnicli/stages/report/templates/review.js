/* Verdicts about the records of a report: keys, storage, export, and the precision that follows from them.
   Works without a server: everything is on the page. `omniReview` is what browse.js uses. */
const omniReview = (() => {
  "use strict";
  const data = JSON.parse(document.getElementById("review-data").textContent);
  const STORE = "omni report " + data.report;
  const state = new Map();   // key -> exported line; null: a verdict that was removed
  const history = [];        // [key, line before]
  const $ = (id) => document.getElementById(id);
  let current = null;

  const normal = (name) => name.toLowerCase().replace(/[_-]/g, " ").split(/\s+/).filter(Boolean).join(" ");
  const keyFor = (about, id, name) => [about, id, normal(name || "")].join("\u0000");
  const keyOf = (card) => {
    const bare = keyFor(card.dataset.about, card.dataset.id, "");  // of a line without a class
    return state.has(bare) ? bare : keyFor(card.dataset.about, card.dataset.id, card.dataset.class);
  };
  const lineOf = (card) => state.get(keyOf(card)) || null;
  const cards = (top = document) => [...top.querySelectorAll("figure[data-about]")];
  const sampled = cards($("sample-cards") || document.createElement("div"));

  function load() {
    for (const line of data.verdicts)
      for (const about of line.about ? [line.about] : ["record", "duplicate"])
        state.set(keyFor(about, line.id, line.class), line);
    try {
      for (const [key, line] of JSON.parse(localStorage.getItem(STORE) || "[]")) state.set(key, line);
    } catch (error) { warn(); }
  }
  function save() {
    try { localStorage.setItem(STORE, JSON.stringify([...state])); } catch (error) { warn(); }
  }
  const warn = () => { $("review-note").textContent = "This browser stores nothing for the page: export before you close it."; };

  function make(card, verdict) {
    const { about, id, confidence, outcome, target, similarity, seen } = card.dataset;
    const line = { id, about, verdict };
    if (card.dataset.class) line.class = card.dataset.class;
    if (confidence) line.confidence = Number(confidence);
    if (outcome) line.outcome = outcome;
    if (target) line.target = target;
    if (similarity) line.similarity = Number(similarity);
    return { ...line, seen, report: data.report };
  }

  function decide(card, verdict) {
    if (!card) return;
    const key = keyOf(card), before = state.get(key);
    history.push([key, before]);
    state.set(key, before && before.verdict === verdict ? null : make(card, verdict));
    changed(card);
    if (state.get(key)) move(1, card.closest("[data-cards]"));
  }
  function undo() {
    if (!history.length) return;
    const [key, before] = history.pop();
    state.set(key, before || null);
    const card = cards().find((one) => keyOf(one) === key);
    changed(card);
    if (card) focus(card);
  }
  function changed(card) {
    save();
    const key = card && keyOf(card);
    cards().forEach((one) => { if (!card || keyOf(one) === key) paint(one); });
    refresh();
    if (card) $("review-said").textContent = card.getAttribute("aria-label");
  }

  function dress(card) {
    card.tabIndex = -1;
    card.setAttribute("role", "group");
    const box = document.createElement("div");
    box.className = "decide";
    for (const [verdict, sign, key] of [["accept", "✓", "a"], ["reject", "✕", "r"]]) {
      const button = document.createElement("button");
      Object.assign(button, { type: "button", textContent: sign, tabIndex: -1, title: `${verdict} (${key})` });
      button.dataset.verdict = verdict;
      button.setAttribute("aria-label", `${verdict} ${card.dataset.id}`);
      box.append(button);
    }
    card.append(box);
    paint(card);
  }
  function paint(card) {
    const line = lineOf(card), verdict = line ? line.verdict : "";
    card.classList.toggle("accepted", verdict === "accept");
    card.classList.toggle("refused", verdict === "reject");
    card.classList.toggle("blind", "rank" in card.dataset && !verdict);
    const question = card.dataset.about === "duplicate" ? `may stay beside ${card.dataset.target}?` : `${card.dataset.class || "relevant"}?`;
    card.setAttribute("aria-label", `${question} ${card.dataset.id}: ${verdict ? verdict + "ed" : "no verdict"}`);
    card.querySelectorAll(".decide button").forEach((button) =>
      button.setAttribute("aria-pressed", String(button.dataset.verdict === verdict)));
  }

  function focus(card) {
    if (current) current.tabIndex = -1;
    current = card;
    card.tabIndex = 0;
    card.focus({ preventScroll: true });
    card.scrollIntoView({ block: "nearest" });
  }
  function move(step, top = document) {
    const all = cards(top || document).filter((card) => card.offsetParent);
    const at = all.indexOf(current);
    const next = all[at < 0 ? 0 : at + step];
    if (next) focus(next);
  }
  function nextOfSample() {
    const card = sampled.find((one) => !lineOf(one));
    if (card) focus(card);
    else if (sampled.length) $("review-said").textContent = "The whole sample has verdicts.";
  }

  /* Precision: the estimate of omnicli/stages/report/precision.py. */
  function wilson(share, num) {
    const z = 1.959963984540054, centre = share + z * z / (2 * num);
    const spread = z * Math.sqrt(share * (1 - share) / num + (z / (2 * num)) ** 2);
    return [-1, 1].map((sign) => Math.min(Math.max((centre + sign * spread) / (1 + z * z / num), 0), 1));
  }
  function precision(seen, threshold) {
    const numbers = {};
    seen.forEach((one) => { numbers[one.stratum] = (numbers[one.stratum] || 0) + 1; });
    const own = seen.filter((one) => threshold === null ? one.kept : one.confidence >= threshold);
    if (!own.length) return null;
    let all = 0, right = 0, squares = 0;
    for (const one of own) {
      const weight = one.size / numbers[one.stratum];
      all += weight; squares += weight * weight; right += one.right ? weight : 0;
    }
    const [low, high] = wilson(Math.min(right / all, 1), all * all / squares);
    return { num: own.length, share: right / all, low, high };
  }
  function seenOfSample() {
    let last = -1;
    const seen = [];
    for (const card of sampled) {
      const line = lineOf(card);
      if (!line) continue;
      last = Number(card.dataset.rank);
      seen.push({ confidence: Number(card.dataset.confidence), kept: card.dataset.outcome === "kept",
        right: line.verdict === "accept", stratum: card.dataset.stratum, size: Number(card.dataset.size) });
    }
    return [seen, last + 1 - seen.length, last];
  }
  const percent = (share) => Math.round(100 * share) + " %";
  function row(name, records, found) {
    const line = document.createElement("tr");
    const texts = [name, records.toLocaleString("en"), found ? found.num : 0, found ? percent(found.share) : "–",
      found ? `${Math.round(100 * found.low)} to ${Math.round(100 * found.high)}` : ""];
    texts.forEach((text, index) => {
      const cell = document.createElement(index ? "td" : "th");
      if (!index) cell.scope = "row";
      cell.textContent = text;
      line.append(cell);
    });
    const cell = document.createElement("td");
    cell.className = "range";
    if (found) {
      const bar = document.createElement("i"), dot = document.createElement("b");
      bar.style.cssText = `left:${100 * found.low}%;width:${100 * (found.high - found.low)}%`;
      dot.style.left = `${100 * found.share}%`;
      cell.append(bar, dot);
    }
    line.append(cell);
    return line;
  }
  /* The verdicts, each once: a line without `about` answers both questions, until one is answered otherwise. */
  function verdicts() {
    const found = [];
    for (const [key, line] of state) {
      if (!line || line.about) { if (line) found.push([key, line]); continue; }
      const [about, ...rest] = key.split("\u0000");
      const other = state.get([about === "record" ? "duplicate" : "record", ...rest].join("\u0000"));
      if (!other || other.about) found.push([key, { ...line, about }]);
      else if (about === "record") found.push([key, line]);
    }
    return found;
  }
  function refresh() {
    const lines = verdicts().map(([, line]) => line);
    const accepted = lines.filter((line) => line.verdict === "accept").length;
    $("review-count").textContent = `${lines.length} verdicts: ${accepted} accepted, ${lines.length - accepted} rejected`;
    if (!$("precision-rows")) return;
    const [seen, skipped] = seenOfSample();
    const wanted = Number($("precision-wanted").value) / 100;
    const rows = data.thresholds.map(({ at, records }) => [at, records, precision(seen, at)]);
    const kept = document.createElement("tbody");
    if (data.kept) kept.append(row("kept now", data.kept, precision(seen, null)));
    kept.append(...rows.map(([at, records, found]) => row(`≥ ${at}`, records, found)));
    kept.id = "precision-rows";
    $("precision-rows").replaceWith(kept);
    const best = rows.find(([, , found]) => found && found.low >= wanted);
    const row_of = best && kept.rows[rows.indexOf(best) + (data.kept ? 1 : 0)];
    if (row_of) row_of.className = "best";
    $("precision-best").textContent = !seen.length ? "No record of the sample has a verdict yet."
      : best ? `Lowest threshold whose interval lies above ${percent(wanted)}: ${best[0]} (omni filter --threshold ${best[0]} --verdicts verdicts.jsonl).`
      : `No threshold is above ${percent(wanted)} for certain yet: more verdicts narrow the intervals.`;
    $("precision-seen").textContent = `${seen.length} of ${sampled.length}` +
      (skipped ? `; ${skipped} before the last one were passed over, which can bias the estimate` : "");
  }

  function lines() {
    const [, , last] = seenOfSample();
    const drawn = new Map(sampled.filter((card) => Number(card.dataset.rank) <= last).map((card) => [keyOf(card), card.dataset]));
    return verdicts().map(([key, line]) => {
      const card = drawn.get(key);
      const sample = card && { rank: Number(card.rank), stratum: Number(card.stratum), size: Number(card.size) };
      return JSON.stringify(sample ? { ...line, sample } : line) + "\n";
    });
  }
  function exportLines() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(lines(), { type: "application/x-ndjson" }));
    link.download = "verdicts.jsonl";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  const help = () => { const box = $("review-help"); box.open ? box.close() : box.showModal(); };
  const keys = {
    j: () => move(1), ArrowRight: () => move(1), k: () => move(-1), ArrowLeft: () => move(-1),
    a: () => decide(current, "accept"), r: () => decide(current, "reject"),
    u: undo, n: nextOfSample, e: exportLines, "?": help,
  };
  document.addEventListener("keydown", (event) => {
    // many keyboards type brackets with AltGr (on Windows Ctrl and Alt), those of Apple with Alt
    const isTyped = "[]?".includes(event.key) && event.altKey === (event.altKey || event.ctrlKey);
    if (event.metaKey || (!isTyped && (event.ctrlKey || event.altKey))) return;
    if (event.target.closest("input, select, textarea")) return;
    if ($("review-help").open && event.key !== "?") return;
    const act = keys[event.key];
    if (act) { event.preventDefault(); act(); }
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    const card = event.target.closest("figure[data-about]");
    if (card) focus(card);
    if (button && button.dataset.verdict) decide(card, button.dataset.verdict);
    else if (button && button.dataset.key) keys[button.dataset.key]();
  });
  document.addEventListener("focusin", (event) => {
    const card = event.target.closest("figure[data-about]");
    if (card) current = card;
  });

  load();
  cards().forEach(dress);
  if (cards().length) { (sampled[0] || cards()[0]).tabIndex = 0; }
  const wanted = $("precision-wanted");
  if (wanted) wanted.addEventListener("input", refresh);
  document.documentElement.classList.add("scripted");
  refresh();
  return { data, dress, focus, keys, lines };
})();
