// The page of `wgslab export bench`: checks and times the kernels of its data, shows them, and makes the same report as
// `wgslab bench --json`.
"use strict";

const element = (id) => document.getElementById(id);
const status = (text) => { element("status").textContent = text; };
const HELD_BYTES = 256 * 2 ** 20; // cases whose buffers take this much together take turns
const WRONG = "WRONG";
const OPTIONAL = ["timestamp-query", "shader-f16", "subgroups"];

let data, rows = [];
const run = { going: false, stop: false, environment: null, skipped: [], reference: null, ended: null };

/** The rows of a case with the variants of a kernel beside each other. */
function sideBySide(list) {
  const order = [...new Set(list.map((r) => r.row.entry))];
  return list.sort((a, b) => order.indexOf(a.row.entry) - order.indexOf(b.row.entry));
}

/** A number with some digits that count. */
function figures(v, digits = 4) {
  return v >= 10 ** (digits - 1) ? Math.round(v).toString() : v.toPrecision(digits);
}

function rateOf(row, ms) {
  const arithmetic = row.flops > 4 * row.bytes;
  return { value: (arithmetic ? row.flops : row.bytes) / ms * 1e-6, unit: arithmetic ? "GFLOP/s" : "GB/s" };
}

function make(name, text, className) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function note(text) {
  element("notes").append(make("li", text));
}

function buildTable() {
  let op = "";
  for (const r of rows) {
    const line = make("tr", "", r.row.op === op ? "" : "group"), head = make("th", "", "words");
    r.row.entry.split(".").forEach((part, i) => head.append(i ? "." : "", i ? make("wbr") : "", part));
    op = r.row.op;
    head.scope = "row";
    head.title = r.row.shape;
    head.append(make("small", `${r.row.case} · ${r.row.variant}`));
    const [ms, rate] = [make("td"), make("td", "", "rate")];
    line.append(head, ms, rate);
    Object.assign(r, { line, ms, rate });
    element("rows").append(line);
    show(r);
  }
}

/** Shows a row as it stands. */
function show(r) {
  const list = r.samples.times().samples_ms;
  if (!list.length) {
    r.ms.replaceChildren(r.why || r.state);
    r.ms.className = r.why.startsWith(WRONG) ? "why bad" : "why";
    r.ms.colSpan = 2;
    r.rate.hidden = true;
    return;
  }
  r.ms.className = "";
  r.ms.colSpan = 1;
  r.rate.hidden = false;
  const { median, q1, q3 } = spreadOf(list), { value, unit } = rateOf(r.row, median);
  r.median = median;
  r.ms.replaceChildren(figures(median), make("small", `${figures(q1)} to ${figures(q3)}`));
  if (r.noisy) r.ms.append(make("small", "noisy", "bad"));
  const bar = make("span", "", "bar"), fill = make("i"), name = make("span", `${figures(value, 3)} ${unit}`);
  bar.setAttribute("aria-hidden", "true");
  bar.append(fill);
  fill.style.width = `${r.width || 0}%`;
  Object.assign(r, { value, unit, fill, name });
  r.rate.replaceChildren(name, bar);
}

/** Draws bars to one scale a unit, and says which variant of a kernel is the fastest. */
function scale() {
  const seen = rows.filter((r) => r.fill);
  for (const r of seen) {
    const most = Math.max(...seen.filter((o) => o.unit === r.unit).map((o) => o.value));
    r.width = 100 * r.value / most;
    r.fill.style.width = `${r.width}%`;
    const rivals = seen.filter((o) => o.row.entry === r.row.entry && o.row.case === r.row.case);
    const best = rivals.length > 1 && rivals.every((o) => o.median >= r.median);
    r.name.replaceChildren(`${figures(r.value, 3)} ${r.unit}`, ...(best ? [" ", make("b", "fastest", "best")] : []));
  }
}

function tiles(list) {
  element("tiles").replaceChildren(...list.map(([value, label]) => {
    const tile = make("div", "", "card tile");
    tile.append(make("b", value), make("span", label));
    return tile;
  }));
}

/** The browser's name and version, as far as it says. */
function browserName() {
  const brands = (navigator.userAgentData?.brands || []).filter((b) => !/not.*brand/i.test(b.brand));
  const brand = brands.find((b) => b.brand !== "Chromium") || brands[0];
  if (brand) return `${brand.brand} ${brand.version}`;
  const named = [["Firefox", "Firefox"], ["Edg", "Edge"], ["HeadlessChrome", "Chromium"], ["Chrome", "Chrome"], ["Version", "Safari"]];
  for (const [word, name] of named) {
    const found = navigator.userAgent.match(new RegExp(`${word}/([\\d.]+)`));
    if (found) return `${name} ${found[1]}`;
  }
  return "a browser that does not name itself";
}

function environment(device, adapter, info, timer) {
  const about = adapter.info || {}, { limits } = device, { environment: e } = data;
  const sizes = about.subgroupMinSize ? [about.subgroupMinSize, about.subgroupMaxSize] : null;
  return {
    ...e,
    adapter: info.name + (info.fallback ? " (fallback)" : ""),
    driver: `${browserName()}, which hides the driver`,
    backend: "WebGPU",
    wgpu: `wgslab ${data.version} in a browser`,
    limits: {
      binding_bytes: limits.maxStorageBufferBindingSize,
      storage_buffers: limits.maxStorageBuffersPerShaderStage,
      groups: limits.maxComputeWorkgroupsPerDimension,
      invocations: limits.maxComputeInvocationsPerWorkgroup,
      workgroup_bytes: limits.maxComputeWorkgroupStorageSize,
    },
    features: [...device.features].sort(),
    subgroup_size: device.features.has("subgroups") ? sizes : null,
    os: navigator.userAgentData?.platform || navigator.platform || "unknown",
    cpu: `not named by the browser, ${navigator.hardwareConcurrency || "unknown"} threads`,
    checked: true, // browsers keep bounds checks in every kernel
    timer,
    time: new Date().toISOString().replace(/\.\d+Z$/, "Z"),
  };
}

/** The report, in the schema of `wgslab bench --json`. */
function report() {
  const filled = (row, samples, repeats, more) => ({ ...row, ...samples.times(), repeats, ...more });
  const measured = rows.filter((r) => r.samples.times().samples_ms.length);
  const { reference } = run;
  const beside = reference?.samples.times().samples_ms.length
    ? filled(data.reference.row, reference.samples, reference.repeats,
      { reference_ms: [], turns: [], noisy: !isSettled(data.rule, 1, reference.samples.times().samples_ms, Infinity) })
    : null;
  return {
    schema: "wgslab-bench/1",
    environment: run.environment,
    reference: beside,
    rows: measured.map((r) => filled(r.row, r.samples, r.repeats, { noisy: !r.samples.isSettled(data.rule) })),
    skipped: [...data.skipped, ...run.skipped],
  };
}

/** Marks rows that are not measured, and puts them into the report's list. A compiler's message may be long. */
function leaveOut(list, said) {
  const one = said.replace(/\s+/g, " "), why = one.length > 300 ? `${one.slice(0, 300)} …` : one;
  for (const r of list) {
    Object.assign(r, { state: "left out", why });
    run.skipped.push({ op: r.row.op, case: r.row.case, why: `${r.row.entry} [${r.row.variant}]: ${why}` });
    show(r);
  }
}

/** The device with as much as these kernels ask of it and the adapter has. */
async function deviceForAll() {
  const first = await openDevice({ optional: OPTIONAL }), limits = {};
  for (const [name, value] of Object.entries(data.limits)) limits[name] = Math.min(value, first.adapter.limits[name]);
  first.device.destroy();
  return openDevice({ limits, optional: OPTIONAL });
}

/** Why a plan cannot run on this device, in a sentence; "" if it can. */
function lacking({ recording, lanes }, device, adapter) {
  const { limits, features } = recording.needs;
  const feature = features.find((f) => !device.features.has(f) && !navigator.gpu.wgslLanguageFeatures?.has(f));
  if (feature) return `it needs ${feature}, which is not offered here.`;
  const sizes = [adapter.info?.subgroupMinSize, adapter.info?.subgroupMaxSize];
  if (lanes && features.includes("subgroups") && sizes.some((size) => size !== lanes)) {
    return `it needs subgroups of ${lanes}, and here they have ${sizes[0] ?? "an unknown size"} to ${sizes[1] ?? "an unknown size"}.`;
  }
  const small = Object.entries(limits).find(([name, value]) => value > device.limits[name]);
  return small ? `it needs a ${small[0]} of ${small[1]}, and this adapter has ${device.limits[small[0]]}.` : "";
}

/** The promise's value, or an error with this sentence after some seconds. */
function within(seconds, promise, why) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(why)), seconds * 1000); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Compiles a plan, runs it once and checks what it wrote. Returns its rows that are right. */
async function prepared(plan, inputs, own, opened, makeRoom) {
  const { device, adapter } = opened;
  const lacks = lacking(plan, device, adapter);
  if (lacks) {
    leaveOut(own, lacks);
    return [];
  }
  for (const r of own) {
    r.state = "compiling";
    show(r);
  }
  const replay = plan.replay = new Replay(device, plan.recording), seconds = data.rule.compile_s;
  const slow = `the browser did not compile its kernels within ${seconds} s; it may still be at it, which disturbs the times of others.`;
  try {
    await within(seconds, replay.build(), slow);
    for (const { name } of plan.recording.inputs) replay.write(name, inputs(name));
    replay.run();
    await replay.done();
  } catch (e) {
    replay.destroy();
    if (device.gone) throw e;
    if (/too little memory/.test(e.message) && await makeRoom()) return prepared(plan, inputs, own, opened, makeRoom);
    leaveOut(own, e.message);
    return [];
  }
  const right = [];
  for (const r of own) {
    let wrong = "";
    for (const i of r.values) wrong ||= wrongValue(r.of.values[i], await replay.read(`v${i}`), data.seed);
    if (wrong) {
      leaveOut([r], `${WRONG}, so it is not timed: ${wrong}`);
      continue;
    }
    Object.assign(r, { state: "right", calls: replay.calls.slice(...r.launches) });
    show(r);
    right.push(r);
  }
  if (!right.length) replay.destroy();
  return right;
}

/** The tiles of a measurement: the adapter, the clocks, and how many kernels are right. */
function facts({ clock, tick }) {
  const right = rows.filter((r) => r.calls).length, beside = run.reference.samples.times().samples_ms;
  tiles([
    [run.environment.adapter, "adapter"], [browserName(), "browser"],
    [clock.stamps ? `${Number(clock.tickNs) * 1e-3} µs` : "none", "tick of the device's timestamps"],
    [`${(tick * 1e3).toFixed(0)} µs`, "tick of the page's clock"],
    [`${right} of ${rows.length}`, "kernels checked and right"],
    ...(beside.length ? [[`${figures(spreadOf(beside).median)} ms`, "reference kernel"]] : []),
  ]);
}

/** Opens the device with its clock, says what is odd about them, and warms the reference kernel up. */
async function begun() {
  const opened = await deviceForAll(), { device, adapter, info } = opened;
  const clock = new Clock(device), tick = wallTick();
  run.environment = environment(device, adapter, info, clock.stamps ? "timestamps" : "wall");
  if (info.fallback) note("This adapter is a fallback: it computes on the processor, so these are no times of a GPU.");
  if (!clock.stamps) note("This browser offers no timestamps of the device: times are those of the page's clock, from submitting until the device was done.");
  const reference = new Replay(device, data.reference.recording);
  await reference.build();
  run.reference = { calls: reference.calls, samples: new Samples(), repeats: 1 };
  run.reference.repeats = await clock.warm(run.reference.calls, data.rule);
  return { opened, clock, tick };
}

/** What samples the cases that are held, and shows how far it is. */
function samplerOf(held, going) {
  return new Sampler(going.clock, data.rule, run.reference, {
    stopped: () => run.stop,
    told: (text, share) => {
      element("now").textContent = text;
      if (share !== undefined) element("progress").value = Math.min(1, (held.finished + held.cases.length * share) / data.cases.length);
      scale();
      facts(going);
    },
    shown: show,
    hidden: (is) => status(is ? "This tab is in the background, where browsers slow a page down: measuring waits until it is in front." : "Measuring."),
  });
}

/** Samples the cases that are held and lets go of them. */
async function sampled(held, sampler, going) {
  status("Measuring.");
  await sampler.all(held.cases.map(({ name, rows: list }) => ({ name, rows: list })));
  for (const r of held.cases.flatMap((c) => c.rows)) {
    Object.assign(r, { noisy: !r.samples.isSettled(data.rule), state: "measured" });
    show(r);
  }
  for (const { plans } of held.cases) for (const plan of plans) plan.replay?.destroy();
  held.finished += held.cases.length;
  Object.assign(held, { cases: [], bytes: 0 });
  scale();
  facts(going);
}

/** Checks all cases, and samples them by as many as fit into memory together. */
async function measure() {
  const going = await begun(), { opened } = going;
  const held = { cases: [], finished: 0, bytes: 0 }, sampler = samplerOf(held, going);
  const makeRoom = async () => held.cases.length > 0 && (await sampled(held, sampler, going), true);
  for (const of of data.cases) {
    if (run.stop) break;
    status(`Compiling and checking ${of.op}, ${of.case}.`);
    const made = new Map(), found = [];
    const inputs = (name) => {
      if (!made.has(name)) made.set(name, filled(of.inputs.find((i) => i.name === name), data.seed));
      return made.get(name);
    };
    for (const plan of of.plans) {
      if (run.stop) break;
      found.push(...await prepared(plan, inputs, rows.filter((r) => r.plan === plan), opened, makeRoom));
      held.bytes += plan.recording.buffers.reduce((sum, b) => sum + (b.part_of ? 0 : b.bytes), 0);
      facts(going);
    }
    held.cases.push({ name: `${of.op} ${of.case}`, rows: sideBySide(found), plans: of.plans });
    if (held.bytes > HELD_BYTES) await sampled(held, sampler, going);
  }
  await sampled(held, sampler, going);
  if (!run.stop) element("progress").value = 1;
  opened.device.destroy();
}

function finish(said) {
  const measured = rows.filter((r) => r.samples.times().samples_ms.length).length;
  for (const r of rows.filter((r) => r.samples.times().samples_ms.length)) show(Object.assign(r, { noisy: !r.samples.isSettled(data.rule) }));
  scale();
  for (const r of rows) {
    if (r.state === "waiting" || r.state === "compiling" || r.state === "right") show(Object.assign(r, { state: "not measured" }));
  }
  status(`${said} ${measured} of ${rows.length} rows are measured.`);
  element("now").hidden = element("progress").hidden = true;
  element("go").textContent = "Measure again";
  run.going = false;
  if (!run.environment || !measured) return;
  element("json").value = `${JSON.stringify(report(), null, 1)}\n`;
  element("report").hidden = false;
  element("save").disabled = element("copy").disabled = false;
}

async function go() {
  if (run.going) {
    run.stop = true;
    status("Stopping after this sample.");
    return;
  }
  Object.assign(run, { going: true, stop: false, environment: null, skipped: [], reference: null });
  for (const r of rows) show(Object.assign(r, { samples: new Samples(), repeats: 1, state: "waiting", why: "", noisy: false, calls: null, fill: null, width: 0 }));
  element("notes").replaceChildren();
  element("go").textContent = "Stop";
  element("now").hidden = element("progress").hidden = false;
  element("progress").value = 0;
  let said = "Done.";
  try {
    status("Opening the GPU.");
    await measure();
    if (run.stop) said = "Stopped.";
  } catch (e) {
    said = `${e.message}${rows.some((r) => r.samples.turn.length) ? " What was measured until then is kept." : ""}`;
  }
  finish(said);
}

async function copy() {
  try {
    await navigator.clipboard.writeText(element("json").value);
    status("The JSON is copied.");
  } catch {
    element("report").open = true;
    element("json").select();
    status("The browser does not let the page copy: the JSON is selected below, press Ctrl+C or ⌘C.");
  }
}

function save() {
  const link = make("a"), name = (run.environment?.adapter || "gpu").replace(/[^\w.]+/g, "-").replace(/-$/, "").slice(0, 60);
  link.href = URL.createObjectURL(new Blob([element("json").value], { type: "application/json" }));
  link.download = `wgslab-${data.set.replace(/[^\w.-]+/g, "-")}-${name}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function method() {
  const { rule } = data;
  const lines = [
    `A sample repeats its kernel inside one pass until it takes ${rule.sample_ms[0]} ms by the device's timestamps, or ${rule.sample_ms[1]} ms by the page's clock where there are none, at most ${rule.repeats} times, and divides. Browsers round timestamps; a tile above has the tick that was seen.`,
    `Every row is warmed up, then sampled in ${rule.turns} turns or more over all rows, with the reference kernel, of fixed work, before and after each sample. At least ${rule.samples} samples and ${rule.seconds} s; then until the quartiles lie within ${100 * rule.spread} % of the median, or the turns agree on the centre, or ${rule.limit} s have passed. A row that is not within ${100 * rule.spread} % by then is marked noisy.`,
    `Before that, the kernels of a case run once on generated values, and some hundred elements of every output and sums of all of them must be those of the naive variant where the page was made (${data.environment.adapter}), or of the first variant of an op that has no naive one, as committed, within a stated tolerance. A wrong kernel is shown as wrong and not timed.`,
    `The browser may take ${rule.compile_s} s to compile a case; what takes longer is left out. It adds bounds checks to every kernel, so times are not quite those of the native program.`,
  ];
  element("method").replaceChildren(...lines.map((line) => make("p", line, "soft")));
}

/** Unpacks the data: recordings share the texts of their kernels. */
async function begin() {
  data = JSON.parse(new TextDecoder().decode(await unpack("data")));
  const expand = (recording) => { recording.kernels = recording.kernels.map((i) => data.kernels[i]); };
  for (const { plans } of data.cases) for (const { recording } of plans) expand(recording);
  expand(data.reference.recording);
  rows = data.cases.flatMap((of) => sideBySide(of.plans.flatMap((plan) => plan.rows.map((r) => ({
    row: r.row, launches: r.launches, values: r.values, plan, of, samples: new Samples(), repeats: 1, state: "waiting", why: "",
  })))));
  element("go").addEventListener("click", go);
  element("copy").addEventListener("click", copy);
  element("save").addEventListener("click", save);
  buildTable();
  method();
  for (const s of data.skipped) note(`${s.op} ${s.case} did not come along: ${s.why}`);
  element("go").disabled = false;
}

begin().catch((e) => status(`The data of this page cannot be read: ${e.message}`));
