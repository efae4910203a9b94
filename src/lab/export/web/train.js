// Trains by what `study::Portable` holds: the recordings of a step, of views and of features, with their first values.
// It knows nothing of the page around it.
"use strict";
const ORDER = 0x73687566; // the stream of the order of an epoch's images, as in src/study/stage.rs

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

class Trainer {
  /** `about` is the JSON of a Portable, `bytes` its values. */
  constructor(about, bytes) {
    Object.assign(this, { about, bytes, taken: 0, losses: [], readAt: 0 });
  }

  get total() { return this.about.epochs * this.about.steps; }
  get epoch() { return Math.floor(this.taken / this.about.steps); }

  /** Opens the device and compiles everything. told(done, all) counts kernels. */
  async open(told) {
    const a = this.about, states = new Map();
    const inSoftware = (info) => a.step_in_software && info.fallback && info.lanes === a.lanes;
    const limits = (info) => (inSoftware(info) ? a.limits_in_software : a.limits);
    Object.assign(this, await openDevice({ limits, optional: ["subgroups"] }));
    const { device } = this;
    this.software = inSoftware(this.info) && device.features.has("subgroups");
    const recordings = [this.software ? a.step_in_software : a.step, a.eye, a.views];
    [this.replay, this.eye, this.viewer] = recordings.map((r) => new Replay(device, r, states));
    const all = recordings.reduce((n, r) => n + r.kernels.length, 0);
    let done = 0;
    for (const one of [this.replay, this.eye, this.viewer]) await one.build(() => told(++done, all));
    for (const { name, at, bytes } of a.tensors) {
      const owner = [this.replay, this.eye].find((r) => r.recording.states.some((s) => s.name === name));
      owner.write(name, this.bytes.subarray(at, at + bytes));
    }
  }

  /** Frees what was made. The next opening begins anew. */
  close() {
    this.device?.destroy();
    [this.device, this.lost] = [];
  }

  /** The order in which an epoch takes the images. */
  order(epoch) {
    const { seed, images } = this.about;
    if (this.orderOf !== epoch) [this.orderOf, this.kept] = [epoch, new Rng(seed, ORDER, epoch).permutation(images)];
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

  /** The first images of the next step as they are, and then each of the random views of them. */
  async views() {
    const a = this.about, at = this.taken % a.steps, epoch = Math.min(this.epoch, a.epochs - 1);
    const wide = a.views.inputs[0].ty.shape[0];
    this.viewer.write("indices", this.order(epoch).slice(at * a.batch, at * a.batch + wide));
    this.viewer.scalars({ epoch });
    this.viewer.run();
    return Promise.all(a.views.outputs.map(async ({ name }) => new Float32Array(await this.viewer.read(name))));
  }

  /** The backbone as safetensors, with the names of torchvision. */
  async weights() {
    const { at, bytes, values } = this.about.file, parts = [this.bytes.subarray(at, at + bytes)];
    for (const name of values) parts.push(name ? await this.replay.read(name) : new BigInt64Array([BigInt(this.taken)]));
    return new Blob(parts, { type: "application/octet-stream" });
  }
}
