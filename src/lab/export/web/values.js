// The values of a bench's inputs, made by the same generator as in the program (`rng.js`, `kernels/catalog/case.rs`),
// and what is expected of outputs (`lab/export/bench/expected.rs`). Integers are the same bit for bit. A normal number is
// rounded from f64, in which ln and cos may differ in the last bit: about one in 10^9 then differs in its last bit.
"use strict";

/** Uniform in [0, 1): the top 24 bits. */
function uniform(rng) {
  return (rng.word() >>> 8) / 16777216;
}

/** Standard normal by Box–Muller. */
function normal(rng) {
  const r = Math.sqrt(-2 * Math.log(1 - uniform(rng)));
  return Math.fround(r * Math.cos(2 * Math.PI * uniform(rng)));
}

const bitsView = new Float32Array(1), bitsWords = new Uint32Array(bitsView.buffer);

/** The f32 with these bits. */
function fromBits(word) {
  bitsWords[0] = word;
  return bitsView[0];
}

/** The nearest half of an f32, ties to even, as its 16 bits. */
function halfBits(value) {
  bitsView[0] = value;
  const word = bitsWords[0], sign = word >>> 16 & 0x8000, size = word & 0x7fffffff;
  if (size > 0x7f800000) return sign | 0x7e00; // not a number
  if (size >= 0x477ff000) return sign | 0x7c00; // past the largest half
  if (size < 0x38800000) { // below the least normal half: whole multiples of 2^-24
    const whole = Math.abs(value) * 16777216, down = Math.floor(whole), rest = whole - down;
    return sign | (down + (rest > 0.5 || rest === 0.5 && down % 2 === 1 ? 1 : 0));
  }
  return sign | (size - 0x38000000 + 0xfff + (size >>> 13 & 1) >>> 13);
}

/** The number of a half's bits. */
function fromHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = bits >>> 10 & 31, rest = bits & 1023;
  if (exponent === 31) return rest ? NaN : sign * Infinity;
  return sign * (exponent ? (1024 + rest) * 2 ** (exponent - 25) : rest * 2 ** -24);
}

function numel(ty) {
  return ty.shape.reduce((n, d) => n * d, 1);
}

/** The numbers of an input, one after another; for whole numbers and words, its words. */
function filler({ kind, words }, rng, n) {
  const { fround } = Math;
  switch (kind) {
    case "normal": return () => normal(rng);
    case "halves": return () => fromHalf(halfBits(normal(rng)));
    case "away_from_zero": return () => {
      const v = normal(rng), away = fround(0.05);
      return fround(v + (v < 0 || Object.is(v, -0) ? -away : away));
    };
    case "distinct": {
      const order = rng.permutation(n);
      return (i) => fround(fround(fround(order[i]) - fround(fround(n) / 2)) * fround(0.01));
    }
    case "uniform": {
      const [low, top] = words.map(fromBits), range = fround(top - low);
      return () => fround(low + fround(range * uniform(rng)));
    }
    case "weights": return (i) => {
      const keep = uniform(rng) >= 0.25, w = fround(0.5 + uniform(rng));
      return keep || i === 0 ? w : 0;
    };
    case "values": return (i) => fromBits(words[i % words.length]);
    case "below": return () => rng.below(words[0]);
    case "words": return (i) => words[i % words.length];
    case "bytes": return () => rng.word();
    default: throw new Error(`This page cannot fill an input with ${kind}.`);
  }
}

/** The elements of an input as they lie in its buffer. Floats in a tensor of words keep their bits, and so do words in one of floats. */
function filled({ ty, stream, fill }, seed) {
  const n = numel(ty), rng = new Rng(seed, stream), raw = ["words", "bytes"].includes(fill.kind), half = ty.dtype === "F16";
  const count = half && raw ? Math.ceil(n / 2) : n, next = filler(fill, rng, count), words = raw || fill.kind === "below";
  if (half && !raw) {
    const halves = new Uint16Array(Math.ceil(n / 2) * 2);
    for (let i = 0; i < n; i++) halves[i] = halfBits(words ? fromBits(next(i)) : next(i));
    return halves;
  }
  const list = words ? new Uint32Array(count) : new Float32Array(count);
  for (let i = 0; i < count; i++) list[i] = next(i);
  return list;
}

/** Why an output with these bytes is not what it must be, in a sentence; "" if it is. */
function wrongValue(expected, bytes, seed) {
  const { name, numel: n, dtype, tolerance, rms, values, sums, sum_allowed: sumAllowed } = expected;
  const view = dtype === "f16" ? new Uint16Array(bytes) : dtype === "u32" ? new Uint32Array(bytes) : new Float32Array(bytes);
  const at = dtype === "f16" ? (i) => fromHalf(view[i]) : (i) => view[i];
  const places = new Rng(seed, 5000), signs = new Rng(seed, 5001), found = new Float64Array(sums.length);
  const shown = (v) => String(Number(v).toPrecision(6));
  for (let k = 0; k < values.length; k++) {
    const i = n <= values.length ? k : places.below(n), got = at(i), want = values[k];
    const allowed = tolerance * (Math.abs(want) + rms);
    if (want === null ? Number.isFinite(got) : !(Math.abs(got - want) <= allowed)) {
      return `element ${i} of ${name} is ${shown(got)} and must be ${want === null ? "not finite" : shown(want)}.`;
    }
  }
  let finite = 0, word = 0;
  for (let i = 0; i < n; i++) {
    if (i % 32 === 0) word = signs.word();
    const v = at(i);
    if (!Number.isFinite(v)) continue;
    finite++;
    found[Math.floor(i * sums.length / n)] += word >>> i % 32 & 1 ? -v : v;
  }
  if (finite !== expected.finite) return `${finite} elements of ${name} are finite numbers, and ${expected.finite} must be.`;
  const off = sums.findIndex((sum, i) => !(Math.abs(found[i] - sum) <= sumAllowed[i]));
  return off < 0 ? "" : `A sum over ${name} is ${shown(found[off])} and must be ${shown(sums[off])}.`;
}
