// The page around a Trainer: buttons, numbers, the curve, the views.
"use strict";

const at = (id) => document.getElementById(id);
const figures = (v, n) => (Number.isFinite(v) ? Number(v.toPrecision(n)).toString() : "–");
const percent = (v) => `${(100 * v).toFixed(1)} %`;
const page = { tiles: {}, accuracies: [], hidden: 0, running: false };

function say(text, bad = false) {
  at("status").className = bad ? "bad" : "";
  at("status").textContent = text;
}

function tile(label, value) {
  if (!page.tiles[label]) {
    const card = at("tiles").appendChild(document.createElement("div"));
    card.className = "card tile";
    page.tiles[label] = card.appendChild(document.createElement("b"));
    card.appendChild(document.createElement("span")).textContent = label;
  }
  page.tiles[label].textContent = value;
}

/** The losses, and their means over an epoch, as a picture. Long curves are thinned to what a screen shows. */
function drawLosses({ losses, about }) {
  if (!losses.length) return;
  const [w, h, left, low] = [Math.max(320, Math.min(1100, at("chart").clientWidth)), 260, 52, 34], n = Math.max(losses.length, 2);
  const [min, max] = losses.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
  const x = (i) => left + (w - left - 10) * i / (n - 1), y = (v) => 10 + (h - low - 10) * (max - v) / (max - min || 1);
  const wide = Math.min(about.steps, 50), every = Math.ceil(n / 1500), line = (values) => values
    .map((v, i) => (i % every && i < n - 1 ? "" : `${x(i).toFixed(1)},${y(v).toFixed(1)}`)).join(" ");
  const mean = losses.map((_, i) => { const part = losses.slice(Math.max(0, i + 1 - wide), i + 1); return part.reduce((a, b) => a + b) / part.length; });
  const rows = [0, 1, 2, 3, 4].map((i) => min + (max - min) * i / 4).map((v) => `<line class="grid" x1="${left}" x2="${w - 10}" `
    + `y1="${y(v)}" y2="${y(v)}"/><text x="${left - 8}" y="${y(v) + 4}" text-anchor="end">${figures(v, 3)}</text>`);
  const words = `Loss of ${losses.length} steps, from ${figures(losses[0], 3)} to ${figures(mean[n - 1] ?? losses[0], 3)}`;
  at("chart").innerHTML = `<svg viewBox="0 0 ${w} ${h}" role="img" aria-label="${words}">${rows.join("")}<text x="${left}" `
    + `y="${h - 8}">step 1</text><text x="${w - 10}" y="${h - 8}" text-anchor="end">step ${losses.length}</text><polyline class="each" `
    + `points="${line(losses)}"/><polyline class="mean" points="${line(mean)}"/></svg>`;
}

/** A row of images for each output of the recording of views. */
async function drawViews(trainer) {
  const { mean, std, view_dims: [channels, rows, columns] } = trainer.about, shown = await trainer.views();
  const canvas = at("views"), count = shown[0].dims[0], gap = 2;
  [canvas.width, canvas.height] = [count * (columns + gap) - gap, shown.length * (rows + gap) - gap];
  shown.forEach(({ values }, row) => { for (let i = 0; i < count; i++) {
    const picture = new ImageData(columns, rows), size = rows * columns;
    for (let p = 0; p < size; p++) for (let c = 0; c < 4; c++) {
      const channel = Math.min(c, channels - 1), v = values[(i * channels + channel) * size + p];
      picture.data[4 * p + c] = c === 3 ? 255 : 255 * (v * std[channel] + mean[channel]);
    }
    canvas.getContext("2d").putImageData(picture, i * (columns + gap), row * (rows + gap));
  } });
  canvas.setAttribute("aria-label", `${count} images in columns: as they are, and below them ${shown.length - 1} random views of each`);
}

async function judge(trainer, what) {
  const accuracy = await trainer.accuracy();
  page.accuracies.push({ what, steps: trainer.taken, accuracy });
  at("accuracies").innerHTML += `<tr><td class="words">${what}</td><td>${trainer.taken}</td><td>${percent(accuracy)}</td></tr>`;
}

async function keep(trainer) {
  page.kept = { steps: trainer.taken, weights: await trainer.weights() };
  at("weights").disabled = at("numbers").disabled = false;
}

async function prepare() {
  const began = performance.now(), trainer = page.trainer;
  await trainer.open((done, all) => say(`Compiling kernel ${done} of ${all} …`));
  page.compiled = (performance.now() - began) / 1e3;
  tile("adapter", trainer.info.name);
  tile("kind", trainer.info.fallback ? "a fallback: the CPU computes, slowly" : "a GPU");
  tile("to compile", `${figures(page.compiled, 3)} s`);
  trainer.lost.then((why) => say(`${why} What was measured before is kept below.`, true));
  say("Measuring what random weights see …");
  await judge(trainer, "random");
}

async function train() {
  Object.assign(page, { running: true, stopping: false });
  [at("start").disabled, at("stop").disabled] = [true, false];
  try {
    const { trainer } = page, { about } = trainer;
    if (!trainer.replay) await prepare();
    say("Training …");
    await drawViews(trainer);
    let mark = performance.now(), from = trainer.taken, drawn = 0, hidden = page.hidden;
    while (trainer.taken < trainer.total && !page.stopping) {
      const began = performance.now();
      await trainer.step();
      if (trainer.taken === 1) {
        await trainer.readLosses();
        tile("first step", `${figures(page.first = (performance.now() - began) / 1e3, 3)} s`);
      }
      const now = performance.now();
      if (document.hidden || hidden !== page.hidden) [mark, from, hidden] = [now, trainer.taken, page.hidden];
      if (now - mark > 2000) {
        tile("images/s", figures(page.rate = (trainer.taken - from) * about.batch / (now - mark) * 1e3, 3));
        [mark, from] = [now, trainer.taken];
      }
      const epoch = trainer.taken % about.steps === 0;
      if (now - drawn > 300 || epoch) {
        drawn = now;
        drawLosses(trainer);
        at("progress").value = trainer.taken / trainer.total;
        tile("step", `${trainer.taken} of ${trainer.total}`);
        if (trainer.losses.length) tile("loss", figures(trainer.losses[trainer.losses.length - 1], 4));
      }
      if (epoch) {
        await keep(trainer);
        await drawViews(trainer);
        say(`Epoch ${trainer.epoch} of ${about.epochs} is done.`);
      }
    }
    await trainer.readLosses();
    await keep(trainer);
    await judge(trainer, "trained");
    say(trainer.taken < trainer.total ? "Stopped. Start goes on from here." : "Done: all epochs are trained.");
  } catch (e) {
    say(`${e.message} What was measured before is kept below.`, true);
  }
  if (page.trainer.losses) drawLosses(page.trainer);
  [page.running, at("stop").disabled] = [false, true];
  at("start").disabled = page.trainer.taken >= page.trainer.total || Boolean(page.trainer.device?.gone);
}

function download(name, blob) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function numbers() {
  const { trainer: { about, info, losses, taken }, accuracies, compiled, first, rate } = page;
  return { what: about.name, adapter: info?.name, fallback: info?.fallback, browser: navigator.userAgent, steps: taken, losses,
    images_per_s: rate, compile_s: compiled, first_step_s: first, accuracies };
}

async function begin() {
  const about = JSON.parse(new TextDecoder().decode(await unpack("portable")));
  page.trainer = new Trainer(about, await unpack("bytes"));
  at("about").textContent = `${about.model} by ${about.method}: ${about.images} images of ${about.dataset} without their labels, `
    + `${about.batch} in a step, ${about.epochs} epochs of ${about.steps} steps.`;
  at("judged").textContent = `Each test image is given the class of most of the ${about.neighbours} training images whose features are `
    + `nearest. There are ${about.classes.length} classes (${about.classes.join(", ")}); guessing is right once in ${about.classes.length}.`;
  at("start").onclick = train;
  at("stop").onclick = () => { page.stopping = true; say("Stopping after this step …"); };
  at("weights").onclick = () => download(`backbone-step-${page.kept.steps}.safetensors`, page.kept.weights);
  at("numbers").onclick = () => download("numbers.json", new Blob([JSON.stringify(numbers(), null, 1)], { type: "application/json" }));
  document.onvisibilitychange = () => {
    page.hidden += 1;
    if (page.running) say(document.hidden ? "This tab is in the background, where browsers slow it down: no rate is measured." : "Training …");
  };
}

begin().catch((e) => say(e.message, true));
