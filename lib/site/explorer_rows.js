// What the explorer computes, without a page: rows that pass filters, estimates, charged words. lib/site/explorer.py puts
// this file before explorer.js, as one script.
export const CHOICES = { model: "model", arm: "polarity", emotion: "emotion", intensity: "intensity", slot: "slot", domain: "domain", mitigation: "mitigation", outcome: "outcome (of either)" };
const READ = ["context", "stem", "completion", "neutral_context", "neutral_completion"];

// Mean of the values that are not null, with an interval clustered as `clusters` says: sandwich variance times
// G / (G − 1), Student's t with G − 1 degrees of freedom from `quantiles`. Without an interval, low and high are null.
export function estimate(values, clusters, quantiles) {
  let n = 0, total = 0;
  for (const value of values) if (value !== null) { n += 1; total += value; }
  const mean = n ? total / n : null, sums = new Map();
  values.forEach((value, at) => { if (value !== null) sums.set(clusters[at], (sums.get(clusters[at]) || 0) + value - mean); });
  const G = sums.size, none = { n, clusters: G, mean, se: null, low: null, high: null };
  if (G < 2) return none;
  let squares = 0;
  for (const sum of sums.values()) squares += sum * sum;
  const se = Math.sqrt(G / (G - 1) * squares) / n;
  if (se < 1e-9) return none;  // clusters that are all alike tell nothing of others
  const reach = quantiles[Math.min(G - 1, quantiles.length) - 1] * se;
  return { n, clusters: G, mean, se, low: mean - reach, high: mean + reach };
}

// The columns of `data`, read by row.
export function open(data) {
  const { strings, columns } = data, code = new Map(strings.map((text, at) => [text, at]));
  const text = (name, row) => (columns[name][row] === null ? null : strings[columns[name][row]]);
  const id = (row) => [...["model", "mitigation", "group_id", "arm"].map((name) => text(name, row)), columns.draw[row]].join("|");
  let lower = null, rows = null;
  return {
    data, columns, text, id, size: columns.draw.length, code: (value) => code.get(value),
    rowOf: (name) => (rows ||= new Map(columns.draw.map((_, row) => [id(row), row]))).get(name),
    options: (name) => [...new Set([...columns[name], ...(name === "outcome" ? columns.neutral_outcome : [])])]
      .filter((each) => each !== null).map((each) => strings[each]).sort(),
    containing: (words) => {  // which strings contain the words, whatever their case
      lower ||= strings.map((each) => each.toLowerCase());
      const sought = words.toLowerCase();
      return Uint8Array.from(lower, (each) => (each.includes(sought) ? 1 : 0));
    },
  };
}

// The rows that pass the filters, in the order that they ask for.
export function select(table, filters) {
  const { columns, size } = table, shift = columns.shift, tests = [];
  for (const name of Object.keys(CHOICES)) {
    if (!filters[name]) continue;
    const code = table.code(filters[name]) ?? -1, column = columns[name], other = columns.neutral_outcome;
    tests.push(name === "outcome" ? (row) => column[row] === code || other[row] === code : (row) => column[row] === code);
  }
  const low = filters.low === "" ? -Infinity : Number(filters.low), high = filters.high === "" ? Infinity : Number(filters.high);
  if (low > -Infinity || high < Infinity) tests.push((row) => shift[row] !== null && shift[row] >= low && shift[row] <= high);
  if (filters.text.trim()) {
    const hit = table.containing(filters.text.trim()), read = READ.map((name) => columns[name]);
    tests.push((row) => read.some((column) => column[row] !== null && hit[column[row]]));
  }
  const rows = [];
  for (let row = 0; row < size; row += 1) if (tests.every((test) => test(row))) rows.push(row);
  if (filters.order === "benchmark") return rows;
  const sign = filters.order === "rising" ? 1 : -1, place = (row) => (shift[row] === null ? Infinity : sign * shift[row]);
  return rows.sort((a, b) => (place(a) === place(b) ? a - b : place(a) - place(b)));  // what has no shift stands last
}

// A text in pieces [text, rating]; the rating is null where the lexicon has none.
export function pieces(text, lexicon) {
  const made = [], rating = (word) => (Object.hasOwn(lexicon, word.toLowerCase()) ? lexicon[word.toLowerCase()] : null);
  const add = (piece, rated) => {
    if (rated === null && made.length && made.at(-1)[1] === null) made.at(-1)[0] += piece; else made.push([piece, rated]);
  };
  for (const token of text.match(/\s+|\S+/gu) || []) {
    if (rating(token) !== null) add(token, rating(token));
    else for (const part of token.match(/[\p{L}\p{N}_]+(?:['’-][\p{L}\p{N}_]+)*|[^\p{L}\p{N}_]+/gu)) add(part, rating(part));
  }
  return made;
}

// Control characters as signs that can be seen: ␛ for escape, ⏎ for a new line, ⟨202e⟩ for what turns the direction of a text.
export const visible = (text) => text.replace(/\r\n|[\n\r\u2028\u2029]/g, "⏎ ").replace(/\t/g, "⇥ ")
  .replace(/[\0-\x1f]/g, (sign) => String.fromCharCode(0x2400 + sign.charCodeAt(0))).replace(/\x7f/g, "␡")
  .replace(/[\x80-\x9f\u202a-\u202e\u2066-\u2069]/g, (sign) => `⟨${sign.charCodeAt(0).toString(16)}⟩`);
