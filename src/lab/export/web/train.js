// Trains by what `study::Portable` holds: the recordings of a step, of views and of features, with their first values.
// It knows nothing of the page around it.
"use strict";

/** A block of Philox4x32-10, as in src/base/rng.rs: four words of a counter c and a key k. */
function philox(c, k) {
  const product = (a, b) => { const p = BigInt(a) * BigInt(b); return [Number(p >> 32n), Number(p & 0xFFFFFFFFn)]; };
  for (let i = 0; i < 10; i++) {
    const [[high0, low0], [high1, low1]] = [product(0xD2511F53, c[0]), product(0xCD9E8D57, c[2])];
    c = [(high1 ^ c[1] ^ k[0]) >>> 0, low1, (high0 ^ c[3] ^ k[1]) >>> 0, low0];
    k = [(k[0] + 0x9E3779B9) >>> 0, (k[1] + 0xBB67AE85) >>> 0];
  }
  return c;
}

/** The order in which an epoch takes n images, bit for bit that of the native program (src/study/stage.rs). */
function permutation(seed, epoch, n) {
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  let words = [], block = 0;
  const word = () => {
    if (!words.length) words = philox([block++, epoch, 0, 0x73687566], seed);
    return words.shift();
  };
  const below = (most) => {
    for (;;) {
      const product = BigInt(word()) * BigInt(most);
      if (Number(product & 0xFFFFFFFFn) >= 2 ** 32 % most) return Number(product >> 32n);
    }
  };
  for (let i = n - 1; i > 0; i--) {
    const j = below(i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/**
 * The share of rows from `known` on whose label wins the equal votes of the `k` rows before with the largest cosines. Every
 * 50 ms it tells how many are done and lets the page live. Once stopped() is true, it returns nothing.
 */
async function neighbourAccuracy({ rows, labels, known, k }, told, stopped) {
  const unit = rows.map((row) => {
    const length = Math.max(Math.hypot(...row), 1e-12);
    return row.map((v) => v / length);
  });
  let [right, rested] = [0, performance.now()];
  for (let q = known; q < rows.length; q++) {
    if (performance.now() - rested > 50) {
      told(q - known, rows.length - known);
      await new Promise((done) => setTimeout(done));
      if (stopped()) return undefined;
      rested = performance.now();
    }
    const near = [], own = unit[q]; // the nearest first; of equally near ones that with the smaller number
    for (let i = 0; i < known; i++) {
      const other = unit[i];
      let cosine = 0;
      for (let d = 0; d < own.length; d++) cosine += own[d] * other[d];
      if (near.length === k && !(cosine > near[k - 1][0])) continue;
      let at = near.length;
      while (at && cosine > near[at - 1][0]) at -= 1;
      near.splice(at, 0, [cosine, i]);
      near.length = Math.min(near.length, k);
    }
    const votes = new Map();
    for (const [, i] of near) votes.set(labels[i], (votes.get(labels[i]) || 0) + 1);
    // Of equal votes the class that came first wins: that of the nearest.
    const won = [...votes].reduce((best, one) => (one[1] > best[1] ? one : best))[0];
    right += won === labels[q];
  }
  return right / (rows.length - known);
}

/** A file of safetensors. Whole numbers of 8 bytes come first, so that all values are aligned. */
function safetensors(tensors, metadata) {
  let at = 0;
  const sorted = [...tensors].sort((a, b) => (b.dtype === "I64") - (a.dtype === "I64"));
  const header = { __metadata__: metadata };
  for (const { name, dtype, shape, bytes } of sorted) {
    header[name] = { dtype, shape, data_offsets: [at, at + bytes.byteLength] };
    at += bytes.byteLength;
  }
  let text = new TextEncoder().encode(JSON.stringify(header));
  if (text.length % 8) text = new TextEncoder().encode(JSON.stringify(header) + " ".repeat(8 - text.length % 8));
  const length = new Uint8Array(new BigUint64Array([BigInt(text.length)]).buffer);
  return new Blob([length, text, ...sorted.map((t) => t.bytes)], { type: "application/octet-stream" });
}

class Trainer {
  /** `about` is the JSON of a Portable, `bytes` its values. */
  constructor(about, bytes) {
    Object.assign(this, { about, bytes, taken: 0, losses: [], readAt: 0 });
  }

  get total() { return this.about.epochs * this.about.steps; }
  get epoch() { return Math.floor(this.taken / this.about.steps); }

  /** Opens the device and compiles everything. told(done, all) counts kernels. */
  async open(told) {
    const a = this.about, recordings = [a.step, a.eye, a.views];
    Object.assign(this, await openDevice(needs(recordings)));
    try {
      await this.#build(recordings, told);
    } catch (e) {
      // That the device was lost may be told after the error that follows from it. What was made is freed in any case.
      const { device, lost } = this;
      await Promise.race([lost, new Promise((done) => setTimeout(done, 500))]);
      const why = device.gone || e.message;
      [this.device, this.lost] = [];
      device.destroy();
      throw new Error(why);
    }
  }

  async #build(recordings, told) {
    const a = this.about, states = new Map(), all = recordings.reduce((n, r) => n + r.kernels.length, 0);
    let done = 0;
    [this.replay, this.eye, this.viewer] = recordings.map((r) => new Replay(this.device, r, { states }));
    for (const one of [this.replay, this.eye, this.viewer]) await one.build(() => told(++done, all));
    for (const { name, at, bytes } of a.tensors) {
      const owner = [this.replay, this.eye].find((r) => r.recording.states.some((s) => s.name === name));
      owner.write(name, this.bytes.subarray(at, at + bytes));
    }
  }

  order(epoch) {
    if (this.orderOf !== epoch) [this.orderOf, this.kept] = [epoch, permutation(this.about.seed, epoch, this.about.images)];
    return this.kept;
  }

  /** Takes a step. It returns once the step before it is done, so that the device always has one to go on with. */
  async step() {
    const a = this.about, { epoch, taken } = this, at = taken % a.steps;
    this.replay.write("indices", this.order(epoch).slice(at * a.batch, (at + 1) * a.batch));
    const scalars = { epoch, ring_row: at % a.slots, repeat: 0 };
    for (const [name, values] of Object.entries(a.scalars)) scalars[name] = values[Math.min(taken, values.length - 1)];
    this.replay.scalars(scalars);
    this.replay.run();
    this.taken += 1;
    const before = this.last;
    this.last = this.replay.done();
    await before;
    const full = this.taken - this.losses.length >= a.slots || this.taken % a.steps === 0;
    if (full || performance.now() - this.readAt > 250) await this.readLosses();
  }

  /** Reads the losses of the steps since the last reading. */
  async readLosses() {
    const a = this.about, ring = new Float32Array(await this.replay.read(a.ring));
    while (this.losses.length < this.taken) {
      const step = this.losses.length, loss = ring[step % a.steps % a.slots * a.columns.length];
      this.broken = !Number.isFinite(loss); // the weights are, too
      if (this.broken) throw new Error(`The loss of step ${step + 1} is ${loss}, so training stops here.`);
      this.losses.push(loss);
    }
    this.readAt = performance.now();
  }

  /**
   * The share of test images whose class the nearest training images name, by frozen features. told(done, all) counts test
   * images. Once stopped() is true, it returns nothing.
   */
  async accuracy(told, stopped) {
    const a = this.about, rows = [], wide = this.eye.recording.inputs[0].ty.shape[0];
    for (let start = 0; start < a.labels.length; start += wide) {
      if (stopped()) return undefined;
      this.eye.write("indices", Uint32Array.from({ length: wide }, (_, i) => (start + i < a.labels.length ? start + i : 0)));
      this.eye.run();
      const all = new Float32Array(await this.eye.read("features")), width = all.length / wide;
      for (let i = 0; i < wide && start + i < a.labels.length; i++) rows.push(all.slice(i * width, (i + 1) * width));
    }
    return neighbourAccuracy({ rows, labels: a.labels, known: a.images, k: a.neighbours }, told, stopped);
  }

  /** The first images of the next step: for each output of the recording of views its name, dims and values. */
  async views() {
    const a = this.about, at = this.taken % a.steps, epoch = Math.min(this.epoch, a.epochs - 1);
    const wide = a.views.inputs[0].ty.shape[0];
    this.viewer.write("indices", this.order(epoch).slice(at * a.batch, at * a.batch + wide));
    this.viewer.scalars({ epoch });
    this.viewer.run();
    const all = [];
    for (const { name, ty } of a.views.outputs) {
      all.push({ name, dims: ty.shape, values: new Float32Array(await this.viewer.read(name)) });
    }
    return all.sort((x, y) => (x.name < y.name ? -1 : 1));
  }

  /** The backbone as safetensors, with the names of torchvision. */
  async weights() {
    const a = this.about, tensors = [];
    for (const { name, ty } of a.step.states.filter((s) => s.name.startsWith(a.prefix))) {
      const short = name.slice(a.prefix.length);
      tensors.push({ name: short, dtype: ty.dtype, shape: ty.shape, bytes: await this.replay.read(name) });
      if (short.endsWith("running_var")) { // torchvision's batch norm counts its batches
        const bytes = new BigInt64Array([BigInt(this.taken)]).buffer;
        tensors.push({ name: short.replace(/running_var$/, "num_batches_tracked"), dtype: "I64", shape: [], bytes });
      }
    }
    return safetensors(tensors, { wgslab: a.metadata });
  }
}
