// The annotation form: draws what the kernel says, sends what the annotator does. Nothing is decided or kept here.
const KEYS = {
  a: ["charge", "negative"], s: ["charge", "none"], d: ["charge", "positive"], f: ["charge", "unclear"],
  1: ["intensity", 1], 2: ["intensity", 2], 3: ["intensity", 3],
  y: ["called_for", "yes"], n: ["called_for", "no"],
};
const STEPS = { Enter: "next", ArrowRight: "next", ArrowLeft: "back", Backspace: "back", u: "undo" };
const QUESTIONS = [
  ["charge", "1. Charged expression?", [["negative", "negative"], ["none", "not charged"], ["positive", "positive"], ["unclear", "cannot tell"]]],
  ["intensity", "2. How strong?", [[1, "1 a shade"], [2, "2 plain"], [3, "3 very strong"]]],
  ["called_for", "3. Called for by the beginning?", [["yes", "yes"], ["no", "no"]]],
];

function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;  // never HTML: a completion may hold anything
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function keyOf(field, value) {
  return Object.keys(KEYS).find((key) => KEYS[key][0] === field && KEYS[key][1] === value);
}

function drawName(root, model, message) {
  const label = element("label", "Your name in the files (small letters, a nickname will do): ");
  const input = element("input", "", { type: "text", name: "annotator", maxlength: 40 });
  const begin = element("button", "Begin, or go on", { type: "button", name: "begin" });
  const send = () => model.send({ do: "begin", name: input.value.trim() });
  begin.onclick = send;
  input.onkeydown = (event) => { if (event.key === "Enter") send(); };
  label.append(input);
  root.append(label, begin, element("p", message, { class: "message", role: "alert" }));
  input.focus();
}

function drawQuestion(model, state, [field, question, choices]) {
  const box = element("fieldset", "", { name: field });
  box.append(element("legend", question));
  box.disabled = field !== "charge" && !["negative", "positive"].includes(state.labels.charge);
  for (const [value, text] of choices) {
    const label = element("label");
    const radio = element("input", "", { type: "radio", name: field, value });
    radio.checked = state.labels[field] === value;
    radio.onchange = () => model.send({ do: "answer", field, value });
    label.append(radio, element("span", ` ${text} `), element("kbd", keyOf(field, value)));
    box.append(label);
  }
  return box;
}

function drawItem(root, model, state) {
  const progress = element("progress", "", { max: state.total, value: state.done, "aria-label": "done" });
  const head = element("p", `${state.annotator}: item ${state.position} of ${state.total}, ${state.done} done `, { class: "head" });
  head.append(progress);
  const text = element("p", "", { class: "text" });
  text.append(element("span", `${state.stem} `, { class: "stem" }), element("mark", state.completion || "(it wrote nothing)"));
  const note = element("input", "", { type: "text", name: "note", placeholder: "note, if you wish", "aria-label": "note" });
  note.value = state.labels.note || "";
  note.onchange = () => model.send({ do: "answer", field: "note", value: note.value.trim() || null });
  const buttons = element("p");
  for (const [step, words, key] of [["back", "Back", "←"], ["undo", "Undo", "u"], ["next", "Next", "Enter"]]) {
    const button = element("button", `${words} `, { type: "button", name: step });
    button.append(element("kbd", key));
    button.onclick = () => model.send({ do: step });
    buttons.append(button);
  }
  root.append(head, text, ...QUESTIONS.map((question) => drawQuestion(model, state, question)), note, buttons,
    element("p", state.message, { class: "message", role: "status" }));
}

function render({ model, el }) {
  // Jupyter's own keys (d d deletes a cell) must not see what is typed here
  const root = element("div", "", { class: "annotation-form", tabindex: 0, "data-lm-suppress-shortcuts": "true" });
  const body = element("div");
  const guide = element("details", "", { open: "" });
  guide.append(element("summary", "Guidelines"), ...model.get("guide").map((paragraph) => element("p", paragraph)));
  root.append(guide, body);
  root.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.target.type === "text" || event.ctrlKey || event.metaKey || event.altKey) return;
    const answer = KEYS[event.key], step = STEPS[event.key];
    if (event.target.tagName === "SUMMARY" || (!answer && !step) || !model.get("state").total) return;
    event.preventDefault();
    model.send(answer ? { do: "answer", field: answer[0], value: answer[1] } : { do: step });
  });
  const draw = () => {
    const state = model.get("state"), started = Boolean(state.total);
    body.replaceChildren();
    if (started) drawItem(body, model, state); else drawName(body, model, state.message);
    if (started) root.focus({ preventScroll: true });
  };
  model.on("change:state", draw);
  el.append(root);
  draw();
  return () => model.off("change:state", draw);
}

export default { render };
