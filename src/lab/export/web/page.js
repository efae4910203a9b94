// The page around a Trainer: buttons, numbers, the curve, the views.
"use strict";
const at = (id) => document.getElementById(id);
const figures = (v, n) => Number(v.toPrecision(n)).toString();
const page = { accuracies: [], hidden: 0, running: false };

function say(text, bad = false) {
  [at("status").className, at("status").textContent] = [bad ? "bad" : "", text];
}

function fail(why) {
  say(page.accuracies.length ? `${why} What was measured before is kept.` : why, true);
}

/** The losses and their running means as a picture. A long curve is thinned to what a screen can show. */
function drawLosses({ losses, about }) {
  const n = losses.length, [w, h, left, low] = [Math.max(280, at("chart").clientWidth), 260, 48, 34];
  if (!n) return;
  const [min, max] = losses.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
  const x = (i) => left + (w - left - 8) * i / Math.max(n - 1, 1), y = (v) => 10 + (h - low - 10) * (max - v) / (max - min || 1);
  let sum = 0;
  const mean = losses.map((v, i) => {
    sum += v - (losses[i - about.steps] ?? 0);
    return sum / Math.min(i + 1, about.steps);
  });
  const every = Math.ceil(n / 1500), points = (values) => values.map((v, i) => [i, v])
    .filter(([i]) => i % every === 0 || i === n - 1).map(([i, v]) => `${x(i).toFixed(1)},${y(v).toFixed(1)}`).join(" ");
  const rules = [0, 1, 2, 3, 4].map((i) => min + (max - min) * i / 4).map((v) => `<line x1="${left}" x2="${w - 8}" y1="${y(v)}"
    y2="${y(v)}"/><text x="${left - 8}" y="${y(v) + 4}" text-anchor="end">${figures(v, 3)}</text>`).join("");
  const words = `Loss of ${n} steps: ${figures(losses[0], 3)} at first, a mean of ${figures(mean[n - 1], 3)} at last`;
  at("chart").innerHTML = `<svg viewBox="0 0 ${w} ${h}" role="img" aria-label="${words}">${rules}
    <text x="${left}" y="${h - 8}">step 1</text><text x="${w - 8}" y="${h - 8}" text-anchor="end">step ${n}</text>
    <polyline class="each" points="${points(losses)}"/><polyline class="mean" points="${points(mean)}"/></svg>`;
}

/** A row of images for each output of the recording of views. */
async function drawViews(trainer) {
  const { mean, std, view_dims: [channels, rows, columns] } = trainer.about, shown = await trainer.views();
  const canvas = at("views"), gap = 2, size = rows * columns, count = shown[0].length / channels / size;
  [canvas.width, canvas.height] = [count * (columns + gap) - gap, shown.length * (rows + gap) - gap];
  for (const [row, values] of shown.entries()) for (let i = 0; i < count; i++) {
    const picture = new ImageData(columns, rows);
    for (let p = 0; p < size; p++) for (let c = 0; c < 4; c++) {
      const k = Math.min(c, channels - 1), v = values[(i * channels + k) * size + p];
      picture.data[4 * p + c] = c === 3 ? 255 : 255 * (v * std[k] + mean[k]);
    }
    canvas.getContext("2d").putImageData(picture, i * (columns + gap), row * (rows + gap));
  }
  at("seen").hidden = false;
  canvas.ariaLabel = `${count} images as they are, and below each ${shown.length - 1} random views of it`;
}

/** Adds a row of the accuracy, unless Stop is pressed before it is known. */
async function judge(trainer, what) {
  const told = (done, all) => say(`Measuring what ${what} weights see: ${done} of ${all} test images …`);
  say(`Measuring what ${what} weights see …`);
  const accuracy = await trainer.accuracy(told, () => page.stopping);
  if (accuracy === undefined) return;
  const row = at("accuracies").insertRow();
  page.accuracies.push({ what, steps: trainer.taken, accuracy });
  for (const text of [what, trainer.taken, `${(100 * accuracy).toFixed(1)} %`]) row.insertCell().textContent = text;
  row.cells[0].className = "words";
}

async function prepare(trainer) {
  const began = performance.now();
  const then = () => (page.stopping ? "Stopping once these are compiled" : "Compiling");
  await trainer.open((done, all) => say(`${then()}: ${done} of ${all} kernels …`));
  trainer.ready = true;
  page.kernels = trainer.software ? `for software adapters with subgroups of ${trainer.info.lanes}` : "for any GPU";
  page.compiled = (performance.now() - began) / 1e3;
  [at("compiled").textContent, at("adapter").textContent] = [`${figures(page.compiled, 3)} s`, trainer.info.name];
  at("kernels").textContent = `adapter, with kernels ${page.kernels}`;
  if (trainer.info.fallback) at("note").textContent = "This adapter is a fallback: the CPU computes, so a step takes long.";
  trainer.lost.then(fail);
}

/**
 * Takes steps until the end or a stop. A rate is measured over two seconds of steps in which the tab was in front. It counts
 * neither the first step, which a device takes slowly, nor what is done between epochs.
 */
async function steps(trainer, { steps, epochs, batch }) {
  let [mark, from, drawn, hidden] = [performance.now(), trainer.taken, 0, page.hidden];
  while (trainer.taken < trainer.total && !page.stopping) {
    await trainer.step();
    const now = performance.now(), epoch = trainer.taken % steps === 0;
    if (trainer.taken === 1) {
      await trainer.readLosses();
      at("first").textContent = `${figures(page.first = (performance.now() - mark) / 1e3, 3)} s`;
      [mark, from] = [performance.now(), 1];
    }
    if (document.hidden || hidden !== page.hidden) [mark, from, hidden] = [now, trainer.taken, page.hidden];
    if (now - mark > 2000) {
      at("rate").textContent = figures(page.rate = (trainer.taken - from) * batch / (now - mark) * 1e3, 3);
      [mark, from] = [now, trainer.taken];
    }
    if (now - drawn > 300 || epoch) {
      drawn = now;
      show(trainer);
    }
    if (epoch) {
      page.kept = { steps: trainer.taken, weights: await trainer.weights() };
      await drawViews(trainer);
      say(`Epoch ${trainer.epoch} of ${epochs} is done.`);
      mark += performance.now() - now; // the losses were read, so that the device had no step left to take meanwhile
    }
  }
}

function show(trainer) {
  drawLosses(trainer);
  at("progress").value = trainer.taken / trainer.total;
  at("step").textContent = `${trainer.taken} of ${trainer.total}`;
  if (trainer.losses.length) at("loss").textContent = figures(trainer.losses.at(-1), 4);
  [at("weights").disabled, at("numbers").disabled] = [!page.kept, false];
}

async function train() {
  const { trainer } = page, { about } = trainer;
  [page.running, page.stopping, at("start").disabled, at("stop").disabled] = [true, false, true, false];
  try {
    if (!trainer.ready) await prepare(trainer);
    if (!page.stopping && !page.accuracies.length) await judge(trainer, "random");
    if (!page.stopping) {
      say("Training …");
      await drawViews(trainer);
      await steps(trainer, about);
      await trainer.readLosses();
    }
    if (trainer.taken > (page.kept?.steps ?? 0)) page.kept = { steps: trainer.taken, weights: await trainer.weights() };
    page.stopping = false; // Stop ended the steps. Pressed again, it ends the measuring.
    if (trainer.taken > (page.accuracies.at(-1)?.steps ?? 0)) await judge(trainer, "trained");
    say(trainer.taken < trainer.total ? "Stopped. Training goes on from here." : "Done: all epochs are trained.");
  } catch (e) {
    // That the device was lost may be told after the error that follows from it.
    await Promise.race([trainer.lost, new Promise((done) => setTimeout(done, trainer.lost ? 500 : 0))]);
    fail(trainer.device?.gone || e.message);
    if (!trainer.ready) trainer.close();
  }
  show(trainer);
  [page.running, at("stop").disabled, at("start").textContent] = [false, true, trainer.ready ? "Go on" : "Try again"];
  at("start").disabled = trainer.taken >= trainer.total || Boolean(trainer.broken || trainer.device?.gone);
}

function numbers() {
  const { trainer: { about, info = {}, losses, taken }, kernels, accuracies, compiled, first, rate } = page;
  return { what: about.name, adapter: info.name, fallback: info.fallback, browser: navigator.userAgent, kernels, steps: taken,
    losses, images_per_s: rate, compile_s: compiled, first_step_s: first, accuracies };
}

function download(name, blob) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

async function begin() {
  const about = JSON.parse(new TextDecoder().decode(await unpack("portable"))), { classes, kernels } = about;
  const recordings = [about.step, about.step_in_software, about.eye, about.views].filter(Boolean);
  for (const r of recordings) r.kernels = r.kernels.map((i) => kernels[i]);
  page.trainer = new Trainer(about, await unpack("bytes"));
  at("about").textContent = `${about.model} by ${about.method}: ${about.images} images of ${about.dataset} without their labels, `
    + `${about.batch} in a step, ${about.epochs} epochs of ${about.steps} steps.`;
  at("judged").textContent = `Each test image is given the class of most of the ${about.neighbours} training images with the `
    + `nearest features. There are ${classes.length} classes (${classes.join(", ")}).`;
  at("method").textContent = `${about.idea}.`;
  at("start").onclick = train;
  at("stop").onclick = () => { page.stopping = true; say("Stopping …"); };
  at("weights").onclick = () => download(`backbone-step-${page.kept.steps}.safetensors`, page.kept.weights);
  at("numbers").onclick = () => download("numbers.json", new Blob([JSON.stringify(numbers(), null, 1)]));
  onresize = () => drawLosses(page.trainer);
  document.onvisibilitychange = () => {
    page.hidden += 1;
    const slow = "This tab is in the background, where browsers slow it down: no rate is measured.";
    if (page.running) say(document.hidden ? slow : "Training …");
  };
  at("start").disabled = false;
  say("Ready. The first start compiles the kernels, which takes some seconds.");
}

begin().catch((e) => say(e.message, true));
