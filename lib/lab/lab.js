// The leak lab: sends what is typed and clicked, draws what the kernel answers. Nothing is decided or kept here.
const PAUSE = 400;  // ms without a key before a change is sent
const PATIENCE = 4000;  // ms after which a kernel that has not answered counts as gone
const GONE = "The kernel does not answer: it is gone, or busy with another cell. What stands here is its last result; if it is gone, run the notebook's cells again.";

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);  // text nodes, never HTML: a completion may hold anything
  return made;
}

const signed = (number, digits = 1) => `${number < 0 ? "−" : "+"}${Math.abs(number).toFixed(digits)}`;
const direction = (number) => (number < 0 ? "negative" : "positive");

function pieces(list) {
  return list.map(([text, valence]) => valence
    ? element("mark", { class: direction(valence), title: `${signed(valence)} in VADER's lexicon` }, text,
      element("sup", {}, valence < 0 ? "−" : "+"))
    : text);
}

function bar(valence) {
  if (valence === null) return element("span", { class: "bar-line" }, "no valence");
  const fill = element("span", { class: `fill ${direction(valence)}` });
  fill.style.width = `${Math.abs(valence) / 8 * 100}%`;  // the scale runs from −4 to +4
  fill.style[valence < 0 ? "right" : "left"] = "50%";
  return element("span", { class: "bar-line" },
    element("span", { class: "bar", "aria-hidden": "true" }, fill), element("span", { class: "number" }, signed(valence)));
}

function completion(side, same) {
  if (!side) return element("td", {}, "…");
  if (side.text === null) {
    return element("td", { class: "missing" }, element("strong", {}, side.outcome.replace("_", " ")), ` ${side.note}`);
  }
  const text = element("div", {}, ...pieces(side.pieces));
  if (side.outcome !== "answered") text.append(element("small", {}, ` (${side.outcome})`));
  if (same) text.append(element("small", {}, " (the same)"));
  return element("td", {}, text, bar(side.valence));
}

function drawRows(state, draws) {
  const body = element("tbody");
  for (const row of state.rows) {
    const same = row.context && row.neutral && row.context.text !== null && row.context.text === row.neutral.text;
    body.append(element("tr", {}, element("th", { scope: "row" }, String(row.draw)), completion(row.context), completion(row.neutral, same)));
  }
  for (let draw = state.rows.length + 1; draw <= draws && state.status !== "error"; draw += 1) {
    body.append(element("tr", { class: "pending" }, element("th", { scope: "row" }, String(draw)), completion(), completion()));
  }
  const heads = ["draw", "after the context", "after the neutral partner"].map((text) => element("th", { scope: "col" }, text));
  return element("table", { class: "completions" },
    element("caption", {}, "Completions: one line, one draw of noise"), element("thead", {}, element("tr", {}, ...heads)), body);
}

const spelled = (token) => token.replace(/ /g, "␣").replace(/\n/g, "⏎").replace(/\t/g, "⇥");

function tokenTable(title, rows) {
  const body = rows.map((row) => element("tr", {},
    element("th", { scope: "row", class: "token" }, ...pieces([[spelled(row.token), row.valence]])),
    ...[row.neutral, row.context].map((value) => element("td", {}, value.toFixed(2))),
    element("td", {}, signed(row.difference, 2))));
  const heads = ["token", "neutral, %", "context, %", "difference"].map((text) => element("th", { scope: "col" }, text));
  return element("table", { class: "tokens" }, element("caption", {}, title),
    element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...body));
}

function drawTokens(tokens) {
  if (!tokens) return [];
  const title = element("h4", {}, "What the context does to the next token");
  if (typeof tokens === "string") return [title, element("p", {}, tokens)];
  return [title, element("div", { class: "pair" }, tokenTable("gain most", tokens.gains), tokenTable("lose most", tokens.losses))];
}

function field(label, input) {
  return element("label", {}, element("span", {}, label), input);
}

function select(name, options, groups = false) {
  const made = element("select", { name });
  for (const option of options) {
    let parent = made;
    if (groups) {
      parent = [...made.children].find((child) => child.label === option.group);
      if (!parent) made.append(parent = element("optgroup", { label: option.group }));
    }
    parent.append(element("option", { value: option.key }, option.label));
  }
  return made;
}

function inputs(model) {
  const area = (name) => element("textarea", { name, rows: 2, spellcheck: "false" });
  return {
    context: area("context"), neutral: area("neutral"), stem: area("stem"),
    model: select("model", model.get("choices"), true),
    temperature: element("input", { name: "temperature", type: "number", min: 0, max: 5, step: 0.1 }),
    draws: element("input", { name: "draws", type: "number", min: 1, max: 20, step: 1 }),
  };
}

function stemForm() {
  const plain = (names) => names.map((name) => ({ key: name, label: name || "as in the stem" }));
  return {
    slot: select("slot", plain(["closed", "open"])),
    subject: element("input", { name: "subject", type: "text", placeholder: "as in the stem" }),
    pronoun: select("pronoun", plain(["", "he", "she", "they", "I"])),
  };
}

// Numbers messages, and tells `gone` when the kernel leaves one unanswered.
function connection(model, gone) {
  let last = Math.max(Date.now(), model.get("state").number), timer;
  const send = (message) => {
    last = Math.max(last + 1, Date.now());
    clearTimeout(timer);
    timer = setTimeout(() => gone(true), PATIENCE);
    try { model.send({ ...message, id: last }); } catch { gone(true); }
    return last;
  };
  const heard = () => { clearTimeout(timer); gone(false); };
  const lost = () => send({ do: "ping" });
  model.on("msg:custom", heard);
  model.on("comm_live_update", lost);
  return { send, stop: () => { clearTimeout(timer); model.off("msg:custom", heard); model.off("comm_live_update", lost); } };
}

function layout(model, given, stem, buttons, parts) {
  const box = (name, ...children) => element("div", { class: name }, ...children);
  const domain = element("input", { name: "domain", type: "text", list: "leak-lab-domains" });
  stem.domain = domain;
  const known = element("datalist", { id: "leak-lab-domains" }, ...model.get("domains").map((value) => element("option", { value })));
  parts.form.append(element("summary", {}, "Make it a stem of the benchmark"), box("line",
    field("domain", domain), known, field("slot", stem.slot), field("subject", stem.subject), field("pronoun", stem.pronoun), buttons.stem));
  return [
    box("pair", field("context", given.context), field("neutral partner", given.neutral)),
    field("stem", given.stem),
    box("line", field("model", given.model), field("temperature", given.temperature), field("draws", given.draws), buttons.surprise, buttons.keep),
    parts.form, parts.notice, parts.status, parts.judge, parts.rows, parts.tokens,
  ];
}

function drawNotice(place, notice) {
  place.className = notice.error ? "notice error" : "notice";
  place.replaceChildren();
  if (notice.error || notice.message) place.append(notice.error || notice.message);
  if (!notice.csv) return;
  const lint = notice.findings.length
    ? element("ul", {}, ...notice.findings.map((line) => element("li", {}, line)))
    : element("p", {}, "The lint finds nothing to mend.");
  place.append(lint, element("label", {}, element("span", {}, "line for lib/data/stems.csv"), element("code", { tabindex: 0 }, notice.csv)));
}

function drawState(parts, state, draws) {
  parts.status.className = `status ${state.status}`;
  parts.status.textContent = [state.toy, state.message].filter(Boolean).join(" ");
  for (const part of [parts.rows, parts.tokens]) part.classList.toggle("of-before", state.status === "error");
  if (state.status === "error") return;  // what was there before stays in sight
  const note = state.judge && state.judge.note ? ` (${state.judge.note})` : "";
  parts.judge.textContent = state.judge ? `Bars: valence from −4 to +4 by the judge ${state.judge.version}${note}. `
    + "Underlined, with + or −: words that VADER's lexicon rates. Missing completions have no valence." : "";
  parts.rows.replaceChildren(...(state.rows ? [drawRows(state, draws)] : []));
  parts.tokens.replaceChildren(...drawTokens(state.tokens));
}

function render({ model, el }) {
  // Jupyter's own keys (d d deletes a cell) must not see what is typed here
  const root = element("div", { class: "leak-lab", "data-lm-suppress-shortcuts": "true" });
  const given = inputs(model), stem = stemForm();
  const button = (name, text) => element("button", { type: "button", name }, text);
  const buttons = { surprise: button("surprise", "Surprise me"), keep: button("keep", "Keep this pair"), stem: button("check", "Check it") };
  const parts = {
    form: element("details"), notice: element("div", { class: "notice", role: "status" }),
    status: element("p", { class: "status", role: "status" }), judge: element("p", { class: "judge" }), rows: element("div"), tokens: element("div"),
  };
  const gone = element("p", { class: "gone", role: "alert", hidden: "" }, GONE);
  const kernel = connection(model, (is) => { gone.hidden = !is; root.classList.toggle("without-kernel", is); });
  let newest = 0, timer;

  const fill = (values) => Object.entries(values).forEach(([name, value]) => { if (given[name]) given[name].value = value; });
  const values = () => Object.fromEntries(Object.entries(given).map(([name, input]) => [name, input.value]));
  const complete = () => {
    clearTimeout(timer);
    newest = kernel.send({ do: "complete", values: values() });
    root.setAttribute("aria-busy", "true");
    buttons.keep.disabled = true;
  };
  const draw = () => {
    const state = model.get("state");
    if (state.number < newest || !state.number) return;  // of settings that are no longer in sight
    drawState(parts, state, Number(given.draws.value));
    root.setAttribute("aria-busy", String(["loading", "writing"].includes(state.status)));
    root.dataset[state.status] = state.number;  // the last settings that were loading, writing, done or in error
    buttons.keep.disabled = state.status !== "done";
  };
  const answer = () => {
    const notice = model.get("notice");
    drawNotice(parts.notice, notice);
    if (notice.settings) { fill(notice.settings); complete(); }
  };

  root.append(gone, ...layout(model, given, stem, buttons, parts));
  root.addEventListener("keydown", (event) => event.stopPropagation());
  Object.values(given).forEach((input) => input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(complete, PAUSE); }));
  buttons.surprise.onclick = () => kernel.send({ do: "surprise" });
  buttons.keep.onclick = () => kernel.send({ do: "keep" });
  buttons.stem.onclick = () => {
    drawNotice(parts.notice, { message: "The lint reads it …" });
    const made = Object.fromEntries(Object.entries(stem).map(([name, input]) => [name, input.value]));
    kernel.send({ do: "stem", values: { ...made, stem: given.stem.value } });
  };
  model.on("change:state", draw);
  model.on("change:notice", answer);
  el.append(root);
  fill(model.get("settings"));
  if (model.get("state").number) draw(); else complete();
  return () => { clearTimeout(timer); kernel.stop(); model.off("change:state", draw); model.off("change:notice", answer); };
}

export default { render };
