// The page: asks the server what it finds in a picture, and shows it. Nothing is asked again to filter or to draw.

import { colour, draw, touches } from "./drawing.js";
import { COLUMNS, itemsOf } from "./items.js";
import { readMap } from "./masks.js";
import { readPicture } from "./pictures.js";
import { ask, Refusal } from "./server.js";

const STAGES = ["network", "decode", "queue", "predict", "encode"];
const BEST_PROPOSALS = 50; // shown at first
const VIEWS = { panoptic: "Panoptic", instances: "Instances", sem_seg: "Semantic" };

const $ = (id) => document.getElementById(id);
const main = document.querySelector("main"), canvas = $("canvas"), slider = $("threshold");
const checked = (id) => [...$(id).querySelectorAll("input:checked")].map((input) => input.value);
const number = new Intl.NumberFormat("en");

const state = {
  models: [], asking: null, // an AbortController while the server is asked
  file: null, picture: null, // what is shown: its file, and as the browser reads it, or null where it cannot
  answer: null, maps: {}, // what the server found
  wanted: "", items: [], off: new Set(), // the view that was chosen, what it shows, classes that are switched off
  active: null, pressed: null, // the item that is pointed out now, and the one that was pressed
  rescaled: false, saying: 0, // whether the slider has the range of proposals; the timer of what is said
};

/** An element with attributes and children. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function swatch(paint) {
  const made = element("span", { class: "swatch" });
  made.style.background = paint;
  return made;
}

const counted = (count, what) => `${number.format(count)} ${what}${count === 1 ? "" : "s"}`;
const milliseconds = (value) => `${value < 10 ? value.toFixed(1) : number.format(Math.round(value))} ms`;

// ---- Asking the server

function tell(refusal) {
  $("message-title").textContent = refusal?.title ?? "";
  $("message-text").textContent = refusal?.message ?? "";
  $("retry").hidden = !refusal?.again;
  $("message").hidden = !refusal;
}

/** Runs something that asks the server, and shows what went wrong. What asked before is called off. */
async function attempt(work) {
  state.asking?.abort();
  const asking = state.asking = new AbortController();
  tell(null);
  try {
    await work(asking.signal);
  } catch (error) {
    if (asking.signal.aborted) return;
    if (!(error instanceof Refusal)) console.error(error);
    tell(error instanceof Refusal ? error : new Refusal("The answer cannot be shown.", String(error)));
    setState(state.file ? "failed" : "welcome");
  }
}

async function loadModels(signal) {
  const models = JSON.parse((await ask("v1/models", { signal })).text);
  state.models = models.filter((model) => !model.takes_proposals); // which nobody has at hand beside a picture
  if (!state.models.length) throw new Refusal("The server has no model that takes pictures alone.");
  const choices = state.models.flatMap(({ name, versions, default_version: usual }) => [
    { model: name },
    ...versions.filter((version) => version !== usual).map((version) => ({ model: name, version })),
  ]);
  $("model").replaceChildren(...choices.map((choice) => {
    const { model, version } = choice, text = version ? `${model}, version ${version}` : model;
    return element("option", { value: JSON.stringify(choice) }, text);
  }));
  $("model-choice").hidden = choices.length < 2;
  $("only-model").textContent = choices.length === 1 ? choices[0].model : "";
  tellModel();
}

const chosen = () => JSON.parse($("model").value);
const modelOf = ({ model }) => state.models.find(({ name }) => name === model) ?? {};

function tellModel() {
  const model = modelOf(chosen());
  const names = model.class_names ?? [], more = names.length - 8;
  const list = more > 1 ? `${names.slice(0, 8).join(", ")} and ${more} more` : names.join(", ");
  $("about").textContent = names.length ? `${model.name} knows ${list}.` : "";
}

/** Shows a picture, asks what is in it, and shows that. */
function take(file) {
  if (file.type && !file.type.startsWith("image/")) {
    tell(new Refusal("This is not a picture.", `${file.name || "It"} is of the type ${file.type}.`, false));
    return;
  }
  attempt(async (signal) => {
    state.file = file;
    state.answer = null;
    const picture = await readPicture(file);
    signal.throwIfAborted();
    state.picture = picture;
    $("caption").textContent = file.name ?? "";
    setState("busy");
    redraw();
    if (!state.models.length) await loadModels(signal);
    const query = new URLSearchParams({ ...chosen(), threshold: 0 });
    const { text, milliseconds: took } = await ask(`v1/predict?${query}`, {
      method: "POST", body: file, headers: { "Content-Type": file.type || "application/octet-stream" }, signal,
    });
    const answer = JSON.parse(text), inside = Object.values(answer.milliseconds).reduce((sum, value) => sum + value, 0);
    const maps = {};
    for (const name of ["panoptic", "sem_seg"]) {
      if (answer[name]) maps[name] = await readMap(answer[name].png);
    }
    signal.throwIfAborted();
    Object.assign(state, { answer, maps });
    showAnswer({ network: Math.max(took - inside, 0), ...answer.milliseconds });
  });
}

async function takeSample() {
  await attempt(async (signal) => {
    const response = await fetch("sample.jpg", { signal }).catch(() => null);
    if (!response?.ok) throw new Refusal("The sample cannot be had.", "The server did not give it.");
    const bytes = await response.blob();
    signal.throwIfAborted();
    take(new File([bytes], "sample.jpg", { type: "image/jpeg" }));
  });
}

// ---- Showing the answer

/** Shows what belongs to a state: `busy`, `failed`, `result`, and `welcome` until there was a picture. */
function setState(name) {
  main.dataset.state = name;
  $("welcome").hidden = name !== "welcome";
  $("view").hidden = !state.picture && !state.answer;
  $("sample").hidden = $("about").hidden = name !== "welcome";
  $("choose").classList.toggle("primary", name === "welcome");
  $("choose").textContent = name === "welcome" ? "Choose a picture" : "Choose another picture";
  $("panel").hidden = $("list").hidden = name !== "result";
  main.setAttribute("aria-busy", name === "busy");
  $("status").textContent = name === "busy" ? "Looking at the picture" : "";
}

function showAnswer(times) {
  const { answer, picture, file } = state, views = Object.keys(VIEWS).filter((name) => answer[name]);
  if (answer.sem_seg) views.splice(views.indexOf("instances"), 1); // such models have none
  $("views").replaceChildren($("views").firstElementChild, ...views.map((name) => {
    return element("label", {}, element("input", { type: "radio", name: "view", value: name }), VIEWS[name]);
  }));
  const first = views.includes(state.wanted) ? state.wanted : views[0];
  $("views").querySelector(`[value=${first}]`).checked = true;
  $("views").hidden = views.length < 2;
  const kept = picture ? "" : "This browser cannot show such pictures; only what was found is drawn. ";
  const turned = picture && picture.width * answer.height !== picture.height * answer.width
    ? "This browser shows the picture in another shape than the server read it. " : "";
  const size = `${answer.width} × ${answer.height} pixels`;
  $("caption").textContent = kept + turned + [file.name, size].filter(Boolean).join(", ");
  showTimes(times);
  $("taken").textContent = "";
  setState("result");
  showView();
}

function showTimes(times) {
  const known = Object.entries(times).sort(([a], [b]) => STAGES.indexOf(a) - STAGES.indexOf(b));
  const total = known.reduce((sum, [, value]) => sum + value, 0);
  $("total").textContent = milliseconds(total);
  $("bar").replaceChildren(...known.map(([name, value]) => {
    const part = element("span");
    part.style.flexGrow = value / total;
    part.style.background = colour(STAGES.indexOf(name) + 2);
    return part;
  }));
  $("times").replaceChildren(...known.map(([name, value]) => {
    const paint = colour(STAGES.indexOf(name) + 2);
    return element("div", {}, element("dt", {}, swatch(paint), name), element("dd", {}, milliseconds(value)));
  }));
}

const view = () => checked("views")[0];

/** Makes the controls and the table for the items of the chosen view. */
function showView() {
  const instances = view() === "instances", things = modelOf(state.answer).class_names?.length ?? 0;
  const items = state.items = itemsOf(view(), state.answer, state.maps[view()], things);
  state.off.clear();
  state.active = null;
  $("threshold-row").hidden = !instances;
  $("list-title").textContent = instances ? "Instances" : "Segments";
  for (const [layer, there] of Object.entries({
    masks: items.some((item) => item.trace), boxes: instances,
    keypoints: items.some((item) => item.keypoints), names: items.some((item) => item.label),
  })) $("layers").querySelector(`[value=${layer}]`).parentElement.hidden = !there;
  $("colours").hidden = view() === "sem_seg";

  const classes = new Map(items.map((item) => [item.class_id, item.name]));
  $("class-list").replaceChildren(...[...classes].sort(([a], [b]) => a - b).map(([id, name]) => {
    const input = element("input", { type: "checkbox", value: id, checked: "" });
    const count = element("span", { class: "count" });
    return element("li", {}, element("label", {}, input, swatch(colour(id)), name, count));
  }));
  $("classes").hidden = !items.length;

  const columns = Object.entries(COLUMNS).filter(([key]) => items[0]?.[key] !== undefined);
  const heads = ["#", instances ? "Class" : "Name", ...columns.map(([, [title]]) => title)];
  $("columns").replaceChildren(...heads.map((title) => element("th", { scope: "col" }, title)));
  $("rows").replaceChildren(...items.map((item, i) => {
    const button = element("button", { type: "button", title: "Point out in the picture" }, swatch(), item.name);
    const cells = columns.map(([, [, text]]) => element("td", {}, text(item)));
    item.row = element("tr", {}, element("td", {}, String(i + 1)), element("th", { scope: "row" }, button), ...cells);
    item.row.addEventListener("pointerenter", () => pointOut(item));
    item.row.addEventListener("pointerleave", () => pointOut(state.pressed));
    button.addEventListener("click", () => press(item));
    return item.row;
  }));
  if (instances) scaleThreshold(items);
  press(null);
  recolour();
}

/** Scores are probabilities, but for those of proposals, whose range is that of the picture. */
function scaleThreshold(items) {
  const proposals = Boolean(items[0]?.proposal);
  const least = proposals ? Math.floor(items.at(-1).score) : 0, most = proposals ? Math.ceil(items[0].score) : 1;
  if (proposals || state.rescaled) {
    const step = (most - least) / 100 || 1, last = items[Math.min(BEST_PROPOSALS, items.length) - 1];
    Object.assign(slider, { min: least, max: most, step });
    slider.value = proposals ? least + step * Math.floor((last.score - least) / step) : 0.5;
  }
  state.rescaled = proposals;
  $("scores").replaceChildren(...items.map((item) => {
    item.tick = element("span");
    item.tick.style.left = `${100 * (item.score - least) / (most - least || 1)}%`;
    return item.tick;
  }));
}

function recolour() {
  const single = view() !== "sem_seg" && checked("colours")[0] === "item";
  state.items.forEach((item, i) => {
    item.colour = colour(single ? i : item.class_id);
    item.row.querySelector(".swatch").style.background = item.colour;
    if (item.tick) item.tick.style.background = item.colour;
  });
  for (const input of $("class-list").querySelectorAll("input")) {
    input.nextElementSibling.hidden = single;
  }
  filter();
}

const reaches = (item) => item.score === undefined || item.score >= Number(slider.value);
const shown = () => state.items.filter((item) => reaches(item) && !state.off.has(item.class_id));

/** Shows the items that reach the threshold and whose class is on. */
function filter() {
  const visible = new Set(shown()), counts = new Map(), names = new Map();
  for (const item of state.items) {
    item.row.hidden = !visible.has(item);
    item.tick?.classList.toggle("off", !visible.has(item));
    if (reaches(item)) counts.set(item.class_id, (counts.get(item.class_id) ?? 0) + 1);
    if (visible.has(item)) names.set(item.name, (names.get(item.name) ?? 0) + 1);
  }
  for (const input of $("class-list").querySelectorAll("input")) {
    input.checked = !state.off.has(Number(input.value));
    input.parentElement.lastElementChild.textContent = counts.get(Number(input.value)) ?? 0;
  }
  $("threshold-value").textContent = Number(slider.value).toFixed(2);
  $("no-rows").hidden = visible.size > 0;
  $("no-rows").textContent = state.items.length
    ? "Nothing reaches the threshold in the classes that are on." : "The model finds nothing in this picture.";
  const what = view() === "instances" ? "instance" : "segment";
  const most = [...names].sort((a, b) => b[1] - a[1]).map(([name, count]) => `${count} ${name}`);
  const rest = most.length > 6 ? `, and ${most.length - 5} classes more` : "";
  $("summary").textContent = visible.size ? counted(visible.size, what) : "Nothing found";
  const text = most.length ? `: ${most.slice(0, rest ? 5 : 6).join(", ")}${rest}` : "";
  canvas.setAttribute("aria-label", `The picture with ${$("summary").textContent.toLowerCase()}${text}`);
  if (state.pressed && !visible.has(state.pressed)) press(null);
  redraw();
  clearTimeout(state.saying); // not at every step of the slider
  state.saying = setTimeout(() => { $("status").textContent = $("summary").textContent + text; }, 300);
}

function pointOut(item) {
  if (state.active === item) return;
  state.active?.row.classList.remove("active");
  item?.row.classList.add("active");
  state.active = item;
  redraw();
}

/** Points an item out until it, or another one, is pressed. */
function press(item) {
  const before = state.pressed;
  before?.row.querySelector("button").setAttribute("aria-pressed", "false");
  state.pressed = item === before ? null : item;
  state.pressed?.row.querySelector("button").setAttribute("aria-pressed", "true");
  pointOut(state.pressed);
}

function scene() {
  const { answer, picture, active } = state, size = answer ?? picture;
  return size && {
    picture, width: size.width, height: size.height, active: answer && active,
    items: answer ? shown() : [], show: new Set(checked("layers")),
  };
}

function redraw() {
  const drawn = scene() ?? { width: 3, height: 2, items: [], show: new Set() };
  canvas.style.setProperty("--ratio", drawn.width / drawn.height);
  const unit = window.devicePixelRatio || 1, wide = canvas.clientWidth;
  if (!wide) return;
  canvas.width = Math.round(wide * unit);
  canvas.height = Math.round(wide * unit * drawn.height / drawn.width);
  draw(canvas, drawn, unit);
}

/** The smallest item under a pointer. */
function under(event) {
  const scale = state.answer.width / canvas.clientWidth, x = event.offsetX * scale, y = event.offsetY * scale;
  return shown().filter((item) => touches(item, x, y)).sort((a, b) => a.extent - b.extent)[0] ?? null;
}

// ---- Taking it away

/** The answer with what is shown of the chosen view. */
function shownAnswer() {
  const { answer } = state, name = view(), kept = new Set(shown().map((item) => item.source));
  const rest = (rows) => rows.filter((row) => kept.has(row));
  const found = name === "instances" ? rest(answer[name]) : { ...answer[name], segments: rest(answer[name].segments) };
  return JSON.stringify({ ...answer, [name]: found }, null, 2);
}

function save(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const stem = () => (state.file.name || "picture").replace(/\.[^.]*$/, "");

async function copy() {
  try {
    await navigator.clipboard.writeText(shownAnswer());
    $("taken").textContent = "Copied.";
  } catch {
    $("taken").textContent = "The browser does not allow to copy here; save it instead.";
  }
}

function savePicture() {
  const large = new OffscreenCanvas(state.answer.width, state.answer.height);
  draw(large, scene(), Math.max(1, Math.min(large.width, large.height) / 600));
  large.convertToBlob({ type: "image/png" }).then((blob) => save(blob, `${stem()}_found.png`));
}

// ---- What a person does

$("choose").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => {
  if ($("file").files.length) take($("file").files[0]);
  $("file").value = ""; // the same file may come again
});
$("sample").addEventListener("click", takeSample);
$("retry").addEventListener("click", () => (state.file ? take(state.file) : attempt(loadModels)));
for (const id of ["sample", "retry"]) $(id).addEventListener("click", () => $("choose").focus()); // they go away
$("model").addEventListener("change", () => {
  tellModel();
  if (state.file) take(state.file);
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) take(event.clipboardData.files[0]);
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dragging");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dragging");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  else tell(new Refusal("This is not a picture.", "Drop the file of one.", false));
});

slider.addEventListener("input", filter);
$("class-list").addEventListener("change", ({ target }) => {
  if (target.checked) state.off.delete(Number(target.value));
  else state.off.add(Number(target.value));
  filter();
});
$("all").addEventListener("click", () => {
  state.off.clear();
  filter();
});
$("none").addEventListener("click", () => {
  state.items.forEach((item) => state.off.add(item.class_id));
  filter();
});
$("views").addEventListener("change", () => {
  state.wanted = view(); // of the next pictures too
  showView();
});
$("layers").addEventListener("change", redraw);
$("colours").addEventListener("change", recolour);

canvas.addEventListener("pointermove", (event) => state.answer && pointOut(under(event) ?? state.pressed));
canvas.addEventListener("pointerleave", () => state.answer && pointOut(state.pressed));
canvas.addEventListener("click", (event) => state.answer && press(under(event)));
new ResizeObserver(redraw).observe($("view"));

$("copy").addEventListener("click", copy);
$("save").addEventListener("click", () => {
  save(new Blob([shownAnswer()], { type: "application/json" }), `${stem()}.json`);
});
$("save-picture").addEventListener("click", savePicture);

$("token-cancel").addEventListener("click", () => $("token-dialog").close());

attempt(loadModels);
