// Times kernels in a browser by the rules of `wgslab bench` (`lab/bench.rs`, `lab/samples.rs`, `lab/sampling_rule.rs`).
"use strict";

/** Median and quartiles, linear between neighbours. */
function spreadOf(samples) {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (share) => {
    const place = (sorted.length - 1) * share, low = Math.floor(place);
    return sorted[low] + (sorted[Math.ceil(place)] - sorted[low]) * (place - low);
  };
  const [q1, median, q3] = [at(0.25), at(0.5), at(0.75)];
  return { q1, median, q3, relative: (q3 - q1) / median };
}

/** The mean of the middle half. */
function midmean(samples) {
  const sorted = [...samples].sort((a, b) => a - b), cut = Math.floor(sorted.length / 4);
  const middle = sorted.slice(cut, sorted.length - cut);
  return middle.reduce((sum, v) => sum + v, 0) / middle.length;
}

/** The relative standard error of a row's centre, from the centres of its turns. */
function turnError(times, turns) {
  let at = 0;
  const centres = turns.map((n) => midmean(times.slice(at, at += n)));
  return centres.length ? spreadOf(centres).relative / 1.349 / Math.sqrt(centres.length) : Infinity;
}

/** Whether samples settled, and when sampling is over. `rule` holds the numbers of `SamplingRule`. */
function isSettled(rule, share, samples, seconds) {
  return samples.length >= Math.ceil(rule.samples * share) && seconds >= rule.seconds * share
    && spreadOf(samples).relative <= rule.spread;
}

function isOver(rule, turn, samples, seconds) {
  const share = Math.min(1, turn / rule.turns);
  const limit = samples.length >= Math.ceil(rule.samples * share)
    ? Math.max(rule.limit * turn / rule.most_turns, rule.seconds * share)
    : rule.patience * rule.limit * share;
  return isSettled(rule, share, samples, seconds) || samples.length > 0 && seconds >= limit;
}

/** The samples of a row, or of the reference. */
class Samples {
  device = [];
  wall = [];
  reference = [];
  turn = [];
  now = 0;
  spent = 0;

  add({ deviceMs, wallMs }, repeats, referenceMs) {
    const each = (ms) => Math.round(ms / repeats * 1e7) / 1e7;
    this.device.push(deviceMs === null ? 0 : each(deviceMs));
    this.wall.push(Math.max(each(wallMs), 1e-7)); // a coarse clock may stand still
    if (referenceMs) this.reference.push(referenceMs);
    this.turn.push(this.now);
    this.spent += wallMs * 1e-3;
  }

  /** The samples that count: by the device's clock, unless it missed more than half of them. */
  times() {
    const seen = this.device.map((ms) => ms > 0), count = seen.filter(Boolean).length;
    const stamped = count > 0 && 2 * count >= seen.length, keep = (_, i) => !stamped || seen[i];
    const lengths = new Map();
    this.turn.filter(keep).forEach((t) => lengths.set(t, (lengths.get(t) || 0) + 1));
    return {
      timer: stamped ? "timestamps" : "wall",
      samples_ms: (stamped ? this.device : this.wall).filter(keep),
      wall_ms: this.wall.filter(keep),
      reference_ms: this.reference.filter(keep),
      turns: [...lengths.values()],
    };
  }

  isOver(rule) {
    return isOver(rule, this.now, this.times().samples_ms, this.spent);
  }

  isSettled(rule) {
    return isSettled(rule, 1, this.times().samples_ms, this.spent);
  }

  /** Whether another turn would help. */
  isWide(rule) {
    const { samples_ms: ms, reference_ms: beside, turns } = this.times();
    const steady = beside.length ? ms.map((v, i) => v / beside[i]) : ms;
    return !this.isSettled(rule) && turnError(steady, turns) > rule.error;
  }
}

function gcd(a, b) {
  while (b) [a, b] = [b, a % b];
  return a;
}

/** Times lists of launches on a device, and finds out how fine its clocks are. */
class Clock {
  constructor(device) {
    this.device = device;
    this.stamps = device.features.has("timestamp-query");
    this.tickNs = 0n;
    if (!this.stamps) return;
    this.queries = device.createQuerySet({ type: "timestamp", count: 2 });
    const usage = GPUBufferUsage;
    this.resolved = device.createBuffer({ size: 16, usage: usage.QUERY_RESOLVE | usage.COPY_SRC });
    this.staging = device.createBuffer({ size: 16, usage: usage.MAP_READ | usage.COPY_DST });
  }

  /** Runs `calls` `repeats` times in one pass and waits: milliseconds on the device, if it has timestamps, and by the wall clock. */
  async time(calls, repeats) {
    const { device } = this;
    if (device.gone) throw new Error(device.gone);
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass(this.stamps
      ? { timestampWrites: { querySet: this.queries, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 } } : {});
    for (let i = 0; i < repeats; i++) encodeCalls(pass, calls);
    pass.end();
    if (this.stamps) {
      encoder.resolveQuerySet(this.queries, 0, 2, this.resolved, 0);
      encoder.copyBufferToBuffer(this.resolved, 0, this.staging, 0, 16);
    }
    const commands = encoder.finish(), begun = performance.now();
    device.queue.submit([commands]);
    await device.queue.onSubmittedWorkDone();
    const wallMs = performance.now() - begun;
    if (device.gone) throw new Error(device.gone);
    return { wallMs, deviceMs: this.stamps ? await this.stamped() : null };
  }

  async stamped() {
    try {
      await this.staging.mapAsync(GPUMapMode.READ);
    } catch (e) {
      throw new Error(this.device.gone || `The times could not be read: ${e.message}`);
    }
    const [begin, end] = new BigUint64Array(this.staging.getMappedRange().slice(0));
    this.staging.unmap();
    for (const t of [begin, end]) this.tickNs = gcd(this.tickNs, t);
    return end > begin ? Number(end - begin) * 1e-6 : 0;
  }

  /** Runs `calls` until they are warm. Returns how often a sample should repeat them. */
  async warm(calls, rule, before = 1) {
    let spent = 0, repeats = before, fastest = Infinity;
    while (spent < 50) {
      const t = await this.time(calls, repeats);
      spent += Math.max(t.wallMs, 0.1);
      const [ms, aim] = t.deviceMs ? [t.deviceMs, rule.sample_ms[0]] : [t.wallMs, rule.sample_ms[1]];
      fastest = Math.min(fastest, ms / repeats);
      repeats = Math.min(rule.repeats, Math.max(1, Math.ceil(aim / Math.max(fastest, 1e-6))));
    }
    return Math.max(repeats, before);
  }
}

/** The smallest step of the page's clock, ms. */
function wallTick() {
  let least = Infinity;
  for (let i = 0, last = performance.now(), until = last + 50; i < 20 && last < until;) {
    const now = performance.now();
    if (now > last) {
      least = Math.min(least, now - last);
      last = now;
      i++;
    }
  }
  return least;
}

/** Waits until the tab is seen: browsers slow down what is not. Returns whether it had to. */
async function untilVisible(told) {
  if (document.visibilityState !== "hidden") return false;
  told(true);
  await new Promise((resolve) => {
    const look = () => {
      if (document.visibilityState === "hidden") return;
      document.removeEventListener("visibilitychange", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
  });
  told(false);
  return true;
}

/**
 * Samples groups of rows in turns, each sample between two of the reference. A row is { calls, samples, repeats }. `stopped`
 * says that the visitor has had enough, `told` is called with a sentence, `shown` with a row that has a new sample.
 */
class Sampler {
  constructor(clock, rule, reference, { stopped, told, shown, hidden }) {
    Object.assign(this, { clock, rule, reference, stopped, told, shown, hidden, looked: 0 });
    document.addEventListener("visibilitychange", () => { this.looked++; });
  }

  async all(groups) {
    for (let i = 0; i < 3 && !this.stopped(); i++) {
      for (const { name, rows } of groups) {
        this.told(`warming up: ${name}`);
        for (const r of rows) {
          if (!this.stopped()) r.repeats = await this.clock.warm(r.calls, this.rule, r.repeats);
        }
      }
    }
    for (let turn = 1; turn <= this.rule.most_turns && !this.stopped(); turn++) {
      for (const { name, rows } of groups) {
        const of = turn <= this.rule.turns ? ` of ${this.rule.turns}` : " where they lie apart";
        this.told(`turn ${turn}${of}: ${name}`, (turn - 1) / this.rule.turns);
        await this.turn(rows, turn);
      }
      if (turn >= this.rule.turns && !groups.some(({ rows }) => rows.some((r) => r.samples.isWide(this.rule)))) break;
    }
  }

  async turn(rows, turn) {
    let now = rows.filter((r) => turn <= this.rule.turns || r.samples.isWide(this.rule));
    for (const r of now) r.samples.now = turn;
    const going = () => now.filter((r) => !r.samples.isOver(this.rule));
    now = going();
    for (const r of now) await this.clock.time(r.calls, r.repeats); // another case ran in between
    for (let before = null; now.length && !this.stopped(); now = going().reverse()) {
      for (const r of now) {
        if (!this.stopped()) before = await this.sample(r, before);
      }
    }
  }

  /** A sample of a row between two of the reference, taken again if the tab was hidden meanwhile. Returns the second. */
  async sample(r, before) {
    for (;;) {
      await untilVisible(this.hidden);
      const looked = this.looked, first = before ?? await this.beside();
      const t = await this.clock.time(r.calls, r.repeats);
      const after = await this.beside();
      before = null;
      if (looked !== this.looked) continue;
      r.samples.add(t, r.repeats, (first + after) / 2);
      this.shown(r);
      return after;
    }
  }

  async beside() {
    const r = this.reference, t = await this.clock.time(r.calls, r.repeats);
    r.samples.add(t, r.repeats);
    if (t.deviceMs) r.last = t.deviceMs / r.repeats;
    else if (t.deviceMs === null || !r.last) r.last = t.wallMs / r.repeats; // else the clock missed it: the last one is a better guess
    return r.last;
  }
}
