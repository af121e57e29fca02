// The explorer of completions: neutral and charged side by side, filters, counts with intervals, links to single pairs.
import { CHOICES, estimate, open, pieces, select, visible } from "./explorer_rows.js";

const SCALE = 4;  // valences run from −4 to +4
const AT_ONCE = 25;  // cards rendered at a time
const FOLDED = 600;  // characters shown of a longer text
const PAUSE = 300;  // ms without a change before the address is rewritten
const ORDERS = { benchmark: "of the benchmark", falling: "largest shift first", rising: "smallest shift first" };
const EMPTY = { model: "", arm: "", emotion: "", intensity: "", slot: "", domain: "", mitigation: "", outcome: "", low: "", high: "", text: "", order: "benchmark" };

const signed = (number, digits = 1) => `${number < 0 && Number(number.toFixed(digits)) ? "−" : "+"}${Math.abs(number).toFixed(digits)}`;
const points = (number) => (number ? signed(number, 0) : "0");
const count = (number) => number.toLocaleString("en");

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);  // text nodes, never HTML: a completion may hold anything
  return made;
}

const marked = (text, lexicon) => pieces(text, lexicon).map(([piece, rating]) => (rating === null ? visible(piece)
  : element("mark", { class: rating < 0 ? "negative" : "positive", title: `${signed(rating)} in VADER's lexicon` }, visible(piece))));

// One part of the line, isolated from the direction of the others; a long one is folded.
function part(tag, text, lexicon) {
  const shown = element("bdi"), made = element(tag, {}, shown);
  if (text.length <= FOLDED) { shown.append(...marked(text, lexicon)); return made; }
  shown.append(...marked(text.slice(0, FOLDED).replace(/[\ud800-\udbff]$/, ""), lexicon), "…");
  const more = element("button", { type: "button", class: "fold" }, `show all (${count(text.length)} characters)`);
  more.onclick = () => { shown.replaceChildren(...marked(text, lexicon)); more.remove(); };
  made.append(" ", more);
  return made;
}

function bar(label, valence) {
  const line = element("p", { class: "bar-line" }, element("span", { class: "by" }, label));
  if (valence === null) { line.append("no valence"); return line; }
  const fill = element("span", { class: `fill ${valence < 0 ? "negative" : "positive"}` });
  fill.style.width = `${Math.min(Math.abs(valence) / SCALE, 1) * 50}%`;
  fill.style[valence < 0 ? "right" : "left"] = "50%";
  line.append(element("span", { class: "bar", "aria-hidden": "true" }, fill), element("span", { class: "number" }, signed(valence)));
  return line;
}

function side(table, row, prefix, title) {
  const { lexicon, judge } = table.data, text = (name) => table.text(prefix + name, row), completion = text("completion"), outcome = text("outcome");
  const line = element("p", { class: "text", dir: "auto" });
  if (text("context")) line.append(part("em", text("context"), lexicon), " ");
  line.append(part("span", table.text("stem", row) || "", lexicon), " ");
  const note = text("note") ? [": ", part("span", text("note"), {})] : [];
  if (completion === null) line.append(element("span", { class: "missing" }, `[missing: ${(outcome || "no completion").replace("_", " ")}`, ...note, "]"));
  else line.append(part("strong", completion, lexicon));
  return element("div", { class: "side" }, element("p", { class: "head" }, title), line,
    bar(`judge ${judge.name}`, table.columns[`${prefix}valence`][row]), bar("VADER", table.columns[`${prefix}vader`][row]));
}

function scores(table, row) {
  const [shift, net, towards, away] = ["shift", "net", "towards", "away"].map((name) => table.columns[name][row]);
  if (shift === null) return "Not scored: a completion of this pair is missing, or the judge gave no verdict.";
  return `Shift ${signed(shift, 2)} points of the scale; net excess ${points(net)} points (towards ${points(towards)}, away ${points(away)}).`;
}

function card(table, row, href) {
  const text = (name) => table.text(name, row), { draw, neutral_draw: other } = table.columns;
  const items = [...["model", "domain", "slot", "emotion", "intensity", "mitigation", "outcome"].filter(text).map((name) => [name, text(name).replace("_", " ")]), ["draw", String(draw[row])]];
  const meta = element("ul", { class: "meta" }, ...items.map(([name, value]) => element("li", {}, element("span", {}, `${name} `), value)));
  const neutral = [other[row] !== draw[row] && `draw ${other[row]}, other noise`, text("neutral_mitigation") !== text("mitigation") && "without the mitigation"].filter(Boolean);
  const made = element("article", { "aria-label": `pair ${count(row + 1)}`, "data-row": row }, meta, element("div", { class: "sides" },
    side(table, row, "neutral_", `after the neutral context${neutral.length ? ` (${neutral.join("; ")})` : ""}`), side(table, row, "", `after the ${text("arm")} context`)));
  made.append(element("p", { class: "scores" }, scores(table, row), ...(href ? [" ", element("a", { href }, "link to this pair")] : [])));
  return made;
}

function interval(result, digits, unit) {
  if (result.mean === null) return "none";
  const range = result.low === null ? "no interval" : `[${signed(result.low, digits)}, ${signed(result.high, digits)}]`;
  return `${signed(result.mean, digits)} ${unit} ${range}`;
}

function summary(table, rows) {
  const { columns, data } = table, stems = rows.map((row) => columns.stem_id[row]);
  const [net, shift] = ["net", "shift"].map((name) => estimate(rows.map((row) => columns[name][row]), stems, data.t));
  return {
    counts: `${count(rows.length)} of ${count(table.size)} pairs, ${count(shift.n)} of them scored.`,
    means: `Net excess ${interval(net, 1, "points")}; mean shift ${interval(shift, 2, "points of the scale")}`
      + ` (n = ${count(shift.n)} in ${count(shift.clusters)} stems; ${Math.round(100 * data.confidence)} % intervals clustered by stem).`,
  };
}

function choice(options) {
  return element("select", {}, ...Object.entries(options).map(([value, label]) => element("option", { value }, label)));
}

function inputs(table) {
  const made = {}, options = (name) => Object.fromEntries([["", "all"], ...table.options(name).filter(Boolean).map((value) => [value, value])]);
  for (const name of Object.keys(CHOICES)) made[name] = choice(options(name));
  for (const name of ["low", "high"]) made[name] = element("input", { type: "number", step: "0.1", min: -2 * SCALE, max: 2 * SCALE });
  made.text = element("input", { type: "search", spellcheck: "false", autocomplete: "off" });
  made.order = choice(ORDERS);
  return made;
}

function notes(data) {
  return [
    `Bars: valence from −4 to +4 by the judge (${data.judge.version}) and by VADER. Underlined, with + or −: words that VADER's lexicon rates. `
      + "Context in italics, stem plain, completion bold. The shift is the judge's valence after the charged context minus that after the neutral one, in the direction of the charge.",
    `The ${Math.round(100 * data.confidence)} % intervals here are clustered by stem alone. Those of the notebooks also cluster by context, and claims use those. `
      + "To filter after looking at the pairs is to explore: it shows what to ask next and decides nothing."].map((text) => element("p", {}, text));
}

function makeParts(given) {
  const button = (text) => element("button", { type: "button" }, text), section = (attributes) => element("section", attributes);
  const labels = { ...CHOICES, low: "shift from", high: "shift to", text: "text contains", order: "order" };
  const fields = Object.entries(given).map(([name, input]) => { input.name = name; return element("label", {}, element("span", {}, labels[name]), input); });
  const reset = button("Reset filters");
  return {
    reset, next: button("Next to read, at random"), more: button(`Show ${AT_ONCE} more`), form: element("form", { "aria-label": "filters" }, ...fields, reset),
    counts: element("p", { class: "counts", role: "status", "aria-live": "polite" }), means: element("p", { class: "means" }), read: element("span", { class: "read" }),
    reading: section({ class: "reading", "aria-label": "the pair to read", "aria-live": "polite", tabindex: -1 }), list: section({ class: "pairs", "aria-label": "pairs" }),
  };
}

class View {
  constructor(data, given, links) {
    const { no_mitigation: none } = data, table = open(data);
    this.table = table;
    this.links = links;
    this.start = { ...EMPTY, mitigation: table.options("mitigation").includes(none) ? none : "", ...given };
    Object.assign(this, { rows: [], rendered: 0, reading: null, seen: new Set(), inputs: inputs(table) });
    this.parts = makeParts(this.inputs);
    const { form, counts, means, next, read, reading, list, more } = this.parts, box = (name, ...children) => element("div", { class: name }, ...children);
    // Jupyter's own keys (d d deletes a cell) must not see what is typed here
    this.root = element("div", { class: "leak-explorer", "data-lm-suppress-shortcuts": "true" }, ...(data.mock ? [element("p", { class: "banner", role: "note" }, data.mock)] : []), form,
      box("summary", counts, means), element("details", {}, element("summary", {}, "How to read this"), ...notes(data)), box("line", next, read), reading, list, more);
    this.fill(this.start);
    this.draw();
  }

  filters() { return Object.fromEntries(Object.entries(this.inputs).map(([name, input]) => [name, input.value])); }

  fill(values) {
    for (const [name, input] of Object.entries(this.inputs)) {
      input.value = values[name];
      if (input.value !== values[name]) input.value = EMPTY[name];  // no such option
    }
  }

  // The part of the address after #: the set, a pair, and the filters that are not as at the start.
  address(row) {
    const changed = Object.entries(this.filters()).filter(([name, value]) => value !== this.start[name]);
    return `#${new URLSearchParams([["set", this.table.data.set], ...(row === null ? [] : [["pair", this.table.id(row)]]), ...changed])}`;
  }

  write() {
    clearTimeout(this.timer);
    if (!this.links) return;
    this.timer = setTimeout(() => { try { history.replaceState(history.state, "", this.address(this.reading)); } catch { /* forbidden: links still work */ } }, PAUSE);
  }

  card(row) { return card(this.table, row, this.links ? this.address(row) : null); }

  extend() {
    const next = this.rows.slice(this.rendered, this.rendered + AT_ONCE).map((row) => this.card(row));
    this.parts.list.append(...next);
    this.rendered += next.length;
    this.parts.more.hidden = this.rendered >= this.rows.length;
    return next[0];
  }

  draw() {
    this.rows = select(this.table, this.filters());
    this.rendered = 0;
    this.parts.list.replaceChildren();
    this.extend();
    const { counts, means } = summary(this.table, this.rows);
    this.parts.counts.textContent = counts;
    this.parts.means.textContent = means;
    this.parts.next.disabled = !this.rows.length;
    this.parts.read.textContent = "";
  }

  change() { this.draw(); this.write(); }

  read(row) {
    this.reading = row;
    this.seen.add(row);
    this.parts.reading.replaceChildren(this.card(row));
  }

  random() {
    let left = this.rows.filter((row) => !this.seen.has(row));
    if (!left.length) { this.rows.forEach((row) => this.seen.delete(row)); left = this.rows; }
    this.read(left[Math.floor(Math.random() * left.length)]);
    const all = this.rows.length, anew = left.length === 1 ? "; the next click begins anew" : "";
    this.parts.read.textContent = `${count(all - left.length + 1)} of ${count(all)} read${anew}`;
    this.write();
  }

  // Show what the address asks for.
  follow() {
    const asked = new URLSearchParams(location.hash.slice(1)), pair = asked.get("pair"), { reading } = this.parts;
    if (asked.get("set") !== this.table.data.set) return;
    this.fill({ ...this.start, ...Object.fromEntries(asked) });
    this.draw();
    if (pair === null) return;
    const row = this.table.rowOf(pair);
    if (row === undefined) reading.replaceChildren(element("p", {}, "This set has no such pair."));
    else this.read(row);
    reading.scrollIntoView({ block: "nearest" });
    reading.focus({ preventScroll: true });
  }

  more() {
    const first = this.extend();
    if (!first) return;
    first.tabIndex = -1;
    first.focus({ preventScroll: true });
  }
}

// Draws the explorer of `data` into a place. `options`: filters to begin with, and whether the address of the page
// says which pair and filters are shown. Returns a function that ends it.
export function mount(place, data, { filters = {}, links = true } = {}) {
  const view = new View(data, filters, links), { form, reset, next, more } = view.parts, follow = () => view.follow();
  view.root.addEventListener("keydown", (event) => event.stopPropagation());
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => view.change());
  reset.onclick = () => { view.fill(view.start); view.change(); };
  next.onclick = () => view.random();
  more.onclick = () => view.more();
  place.append(view.root);
  if (links) { follow(); window.addEventListener("hashchange", follow); }
  return () => { clearTimeout(view.timer); window.removeEventListener("hashchange", follow); view.root.remove(); };
}

export default { render({ model, el }) { return mount(el, model.get("data"), { filters: model.get("filters") || {}, links: false }); } };
