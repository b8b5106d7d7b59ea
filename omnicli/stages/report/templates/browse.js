/* Every record of the report, page by page: parts of it lie in a folder beside the page and are loaded when shown. */
(() => {
  "use strict";
  const { data, dress, keys, focus } = omniReview;
  const all = data.all;
  if (!all) return;
  const PAGE = 48, HELD = 2;  // records of a page; parts held in memory
  const $ = (id) => document.getElementById(id);
  const loaded = new Map();   // number of a part -> promise of its rows
  const arrived = new Map();
  let page = 0;

  window.omniPart = (report, number, rows) => { if (report === data.report) arrived.set(number, rows); };
  function part(number) {
    const known = loaded.get(number);
    loaded.delete(number);
    const rows = known || new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = `${encodeURIComponent(all.folder)}/${number}.js`;
      script.onload = () => {
        script.remove();
        const found = arrived.get(number);
        arrived.delete(number);
        found ? resolve(found) : reject(new Error(`${all.folder} belongs to another report: make it again.`));
      };
      script.onerror = () => { script.remove(); reject(new Error(`${all.folder}/${number}.js is missing: keep the folder beside this page.`)); };
      document.head.append(script);
    });
    loaded.set(number, rows);   // the one used last is at the end
    rows.catch(() => loaded.delete(number));
    for (const old of loaded.keys()) if (loaded.size > HELD) loaded.delete(old);
    return rows;
  }

  /* The records that the two boxes select, as ranges of the sorted records. */
  function ranges() {
    const group = $("all-group").value, outcome = $("all-outcome").value, found = [];
    let start = 0;
    all.groups.forEach(([, kept, rejected], index) => {
      if (group === "" || Number(group) === index) {
        if (outcome !== "rejected" && kept) found.push([start, kept]);
        if (outcome !== "kept" && rejected) found.push([start + kept, rejected]);
      }
      start += kept + rejected;
    });
    return found;
  }
  function positions(from, number) {
    const found = [];
    for (const [start, count] of ranges()) {
      for (let at = Math.max(from, 0); at < count && found.length < number; at++) found.push(start + at);
      from -= count;
    }
    return found;
  }

  function element(name, style, text) {
    const made = document.createElement(name);
    if (style) made.className = style;
    if (text !== undefined) made.textContent = text;
    return made;
  }
  function card([id, outcome, confidence, asked, note, about, seen, uri, aspect, frames, duration, why]) {
    const figure = element("figure", `shot ${outcome}`), caption = element("figcaption");
    figure.style.setProperty("--aspect", aspect);
    figure.title = id;
    if (about) Object.assign(figure.dataset, { about, id, outcome, seen });
    if (asked) figure.dataset.class = asked;
    if (confidence !== null) figure.dataset.confidence = confidence;
    const frame = element("div", `frame${uri ? "" : " empty"}${frames > 1 ? " strip" : ""}`);
    if (uri) {
      const image = element("img");
      Object.assign(image, { alt: id, loading: "lazy", src: uri });
      frame.append(image);
      if (duration) frame.append(element("span", "length", `${duration.toFixed(1)} s`));
    } else frame.append(element("span", "", why));
    if (confidence !== null) caption.append(element("b", "", confidence.toFixed(3)), " ");
    if (note) caption.append(element("span", "note", note));
    caption.append(element("span", "id", id.split("/").pop()));
    figure.append(frame, caption);
    if (about) dress(figure);
    return figure;
  }

  let asked = 0;
  async function show(to, takeFocus) {
    const total = ranges().reduce((sum, [, count]) => sum + count, 0), last = Math.max(Math.ceil(total / PAGE) - 1, 0);
    page = Math.min(Math.max(to, 0), last);
    const wanted = positions(page * PAGE, PAGE), mine = ++asked;
    $("all-page").value = page + 1;
    $("all-page").max = last + 1;
    $("all-pages").textContent = `of ${(last + 1).toLocaleString("en")}, ${total.toLocaleString("en")} records`;
    $("all-previous").disabled = page === 0;
    $("all-next").disabled = page === last;
    try {
      const numbers = [...new Set(wanted.map((at) => Math.floor(at / all.size)))];
      const rows = new Map(await Promise.all(numbers.map(async (number) => [number, await part(number)])));
      if (mine !== asked) return;   // another page was asked for in between
      const cards = wanted.map((at) => card(rows.get(Math.floor(at / all.size))[at % all.size]));
      $("all-cards").replaceChildren(...cards);
      if (takeFocus && cards.length) focus(cards[0]);
    } catch (error) { $("all-cards").replaceChildren(element("p", "", error.message)); }
  }

  all.groups.forEach(([name, kept, rejected], index) => {
    const option = element("option", "", `${name} (${(kept + rejected).toLocaleString("en")})`);
    option.value = index;
    $("all-group").append(option);
  });
  for (const id of ["all-group", "all-outcome"]) $(id).addEventListener("change", () => show(0));
  $("all-page").addEventListener("change", () => show(Number($("all-page").value) - 1));
  keys["["] = () => show(page - 1, true);
  keys["]"] = () => show(page + 1, true);
  new IntersectionObserver((entries, observer) => {
    if (entries.some((entry) => entry.isIntersecting)) { observer.disconnect(); if (!asked) show(0); }
  }, { rootMargin: "600px" }).observe($("all"));
})();
