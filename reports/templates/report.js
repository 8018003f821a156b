"use strict";
// Light or dark; filters, search, permalinks and labels of the flips. The page is whole without it: this only adds, by textContent alone.
(() => {
  const make = (tag, className, text) => {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const TAGS = { broken: "Newly broken", fixed: "Newly fixed", both_wrong: "Wrong before and after", unclear: "Can't be told" };
  const LABELS = [["refuse", "refuses"], ["partial", "refuses in part"], ["comply", "complies"], ["other", "neither"]];
  const COLUMNS = ["row", "suite", "id", "category", "decoding", "sample", "model", "outcome", "prompt", "response", "label"];
  const STEP = 50;
  const SVG = document.querySelector("svg").namespaceURI;

  const filled = (node, pieces) => {
    node.append(...pieces.map(([text, badge, only]) =>
      badge ? make("span", "char", text) : only ? make("mark", "", text) : document.createTextNode(text)));
    return node;
  };

  const badgeNode = (text, status) => {
    const badge = make("span", `badge ${status}`);
    const icon = document.createElementNS(SVG, "svg");
    const use = document.createElementNS(SVG, "use");
    for (const [name, value] of [["class", "icon"], ["viewBox", "0 0 16 16"], ["aria-hidden", "true"]]) icon.setAttribute(name, value);
    use.setAttribute("href", `#i-${status === "neutral" ? "none" : status}`);
    icon.append(use);
    badge.append(icon, text);
    return badge;
  };

  const sideNode = (side) => {
    const node = make("div", "side");
    const who = make("p", "who");
    who.append(filled(make("strong"), side.label), " ", badgeNode(side.outcome, side.status));
    if (side.reward) who.append(" ", make("span", "detail", `reward ${side.reward}`));
    const quote = filled(make("blockquote"), side.pieces);
    if (!side.pieces.length) quote.append(make("span", "quiet", "(empty reply)"));
    node.append(who);
    if (side.hide) {
      const fold = make("details");
      fold.append(make("summary", "", "Show the reply, which is not a full refusal"), quote);
      node.append(fold);
    } else {
      node.append(quote);
    }
    if (side.why.length) node.append(filled(make("p", "why", "Judge: "), side.why));
    if (side.others.length) node.append(filled(make("p", "why", "Other judges: "), side.others));
    return node;
  };

  const flipNode = (flip) => {
    const node = make("details", "flip");
    node.id = `f-${flip.id}`;
    const summary = make("summary");
    summary.append(make("span", `tag ${flip.t}`, TAGS[flip.t]), filled(make("span", "ask"), flip.prompt), filled(make("span", "detail"), flip.where));
    const sides = make("div", "sides");
    sides.append(...flip.sides.map(sideNode));
    node.append(summary, sides);
    return node;
  };

  const selectNode = (label, values, none = "all") => {
    const wrap = make("label", "", label);
    const select = make("select");
    select.append(new Option(none, ""));
    for (const [value, text] of values) select.append(new Option(text, value));
    wrap.append(select);
    return [wrap, select];
  };

  const spelled = (node) => [...node.childNodes].map((child) => // as samples.csv writes it: what can't be seen is named
    child.classList?.contains("char") ? `<${child.textContent}>` : child.classList?.contains("quiet") ? "" : child.textContent).join("");
  const guarded = (text) => (/^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/u.test(text) ? `'${text}` : text);

  const save = (name, text) => {
    const link = make("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  const setUpTheme = () => {
    const root = document.documentElement;
    const button = make("button", "theme");
    button.type = "button";
    const isDark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
    const draw = () => { button.textContent = isDark() ? "Light colours" : "Dark colours"; };
    button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; draw(); });
    draw();
    document.querySelector(".top").append(button);
  };

  const setUp = (box, number) => {
    const list = box.querySelector(".rows");
    const count = box.querySelector(".count");
    const island = box.querySelector("script.more");
    const total = Number(box.dataset.total);
    const entries = [...list.children].map((node) => ({
      id: node.id.slice(2), t: node.dataset.t, suite: node.dataset.suite, decoding: node.dataset.decoding, category: node.dataset.category, judges: node.dataset.judges,
      key: JSON.parse(node.dataset.key), node, text: node.textContent.toLowerCase(),
    }));
    for (const flip of island ? JSON.parse(island.textContent) : []) {
      const texts = [flip.prompt, flip.where, ...flip.sides.map((side) => side.pieces)];
      const text = texts.map((pieces) => pieces.map((piece) => piece[0]).join("")).join(" ").toLowerCase();
      entries.push({ ...flip, flip, text });
    }

    const fields = {};
    const tools = make("form", "tools");
    tools.addEventListener("submit", (event) => event.preventDefault());
    for (const [key, label] of [["t", "What happened"], ["suite", "Suite"], ["category", "Category"], ["decoding", "Decoding"], ["judges", "Judges"]]) {
      const distinct = [...new Set(entries.map((entry) => entry[key]))].filter(Boolean).map((value) => [value, TAGS[value] || value]);
      const [wrap, select] = selectNode(label, distinct);
      fields[key] = select;
      if (distinct.length > 1) tools.append(wrap);
    }
    const searchLabel = make("label", "search", "Search prompts and replies");
    const search = make("input");
    search.type = "search";
    searchLabel.append(search);
    const regex = make("input");
    regex.type = "checkbox";
    const regexLabel = make("label", "check");
    regexLabel.append(regex, "regular expression");
    const exporter = make("button", "export");
    exporter.type = "button";
    tools.append(searchLabel, regexLabel, exporter);
    box.insertBefore(tools, count);
    const more = make("button", "", "Show more");
    more.type = "button";
    const foot = make("p", "tools");
    foot.append(more);
    box.append(foot);

    const labels = new Map();
    const drawExporter = () => {
      exporter.disabled = !labels.size;
      exporter.textContent = labels.size ? `Save ${labels.size} ${labels.size === 1 ? "label" : "labels"} as CSV` : "Save labels as CSV";
    };
    exporter.addEventListener("click", () => {
      const quoted = (cell) => `"${String(cell).replaceAll('"', '""')}"`;
      save("labels.csv", [COLUMNS, ...labels.values()].map((row) => row.map(quoted).join(",")).join("\r\n") + "\r\n");
    });
    const labelBox = (entry, side) => {
      const [wrap, select] = selectNode("Your label", LABELS, "none");
      wrap.className = "label";
      select.addEventListener("change", () => {
        const [suite, id, decoding, sample, ...models] = entry.key;
        const texts = [".ask", `.side:nth-child(${side + 1}) blockquote`].map((part) => guarded(spelled(entry.node.querySelector(part))));
        const row = [entry.id, suite, id, guarded(entry.category), decoding, sample, ...models[side], ...texts, select.value];
        if (select.value) labels.set(`${entry.id} ${side}`, row);
        else labels.delete(`${entry.id} ${side}`);
        drawExporter();
      });
      return wrap;
    };

    let limit = STEP;
    const nodeOf = (entry) => {
      if (!entry.node) entry.node = flipNode(entry.flip);
      if (!entry.node.querySelector(".permalink")) {
        const link = make("a", "permalink", "Link to this row");
        link.href = `#f-${entry.id}`;
        entry.node.append(link);
        entry.node.querySelectorAll(".side").forEach((node, side) => node.append(labelBox(entry, side)));
      }
      return entry.node;
    };
    const matcher = () => { // null where the expression is not finished or wrong
      const wanted = search.value.trim();
      if (!regex.checked) return (text) => text.includes(wanted.toLowerCase());
      try { const expression = new RegExp(wanted, "iu"); return (text) => expression.test(text); } catch { return null; }
    };
    const draw = () => {
      const matches = matcher();
      search.setAttribute("aria-invalid", matches === null);
      if (!matches) { count.textContent = "This regular expression can't be read."; return; }
      const found = entries.filter((entry) => matches(entry.text)
        && Object.entries(fields).every(([key, field]) => !field.value || entry[key] === field.value));
      list.replaceChildren(...found.slice(0, limit).map(nodeOf));
      const rest = total > entries.length ? ` The page holds ${entries.length} of ${total}; samples.csv has all.` : "";
      count.textContent = `${Math.min(limit, found.length)} of ${found.length} shown.${rest}`;
      foot.hidden = found.length <= limit;
    };
    const restart = () => { limit = STEP; draw(); };
    const remember = () => { // the filters stand in the address, so that it can be passed on
      const state = new URLSearchParams({ flips: number });
      for (const [key, field] of [...Object.entries(fields), ["q", search]]) if (field.value) state.set(key, field.value);
      if (regex.checked) state.set("re", "1");
      location.replace(`#?${state}`);
    };
    for (const field of Object.values(fields)) field.addEventListener("change", () => { restart(); remember(); });
    search.addEventListener("input", restart);
    search.addEventListener("change", remember);
    regex.addEventListener("change", () => { restart(); remember(); });
    more.addEventListener("click", () => { limit += STEP; draw(); });
    const follow = () => {
      const at = entries.findIndex((entry) => location.hash === `#f-${entry.id}`);
      if (at < 0) return;
      tools.reset();
      limit = Math.max(limit, at + 1);
      draw();
      entries[at].node.open = true;
      entries[at].node.scrollIntoView({ behavior: "instant" });
      entries[at].node.querySelector("summary").focus({ preventScroll: true });
    };
    const recall = () => {
      const state = new URLSearchParams(location.hash.startsWith("#?") ? location.hash.slice(2) : "");
      if (state.get("flips") !== String(number)) return;
      for (const [key, field] of [...Object.entries(fields), ["q", search]]) field.value = state.get(key) || "";
      regex.checked = state.has("re");
      restart();
      box.scrollIntoView({ behavior: "instant" });
    };
    window.addEventListener("hashchange", follow);
    drawExporter();
    draw();
    window.addEventListener("load", () => setTimeout(() => { follow(); recall(); })); // after the browser's own jump, which takes the focus away
  };

  setUpTheme();
  document.querySelectorAll(".flips").forEach(setUp);
})();
