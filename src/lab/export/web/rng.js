// Counter-based random words, bit for bit those of the program (`base/rng.rs`).
"use strict";

/** The high word of the product of two words. */
function high(a, b) {
  const al = a & 0xffff, ah = a >>> 16, bl = b & 0xffff, bh = b >>> 16;
  const low = al * bl, m = ah * bl + (low >>> 16), n = al * bh + (m & 0xffff);
  return (ah * bh + (m >>> 16) + (n >>> 16)) >>> 0;
}

/** Philox4x32-10, addressed by (seed, stream, counter). The seed is its low word, then its high one. */
class Rng {
  constructor(seed, stream, counter = 0) {
    Object.assign(this, { seed, stream, counter, block: 0, used: 4 });
  }

  word() {
    if (this.used === 4) {
      let [c0, c1, c2, c3] = [this.block++, this.counter, 0, this.stream], [k0, k1] = this.seed;
      for (let i = 0; i < 10; i++) {
        const h0 = high(0xD2511F53, c0), h1 = high(0xCD9E8D57, c2);
        const l0 = Math.imul(0xD2511F53, c0) >>> 0, l1 = Math.imul(0xCD9E8D57, c2) >>> 0;
        [c0, c1, c2, c3] = [(h1 ^ c1 ^ k0) >>> 0, l1, (h0 ^ c3 ^ k1) >>> 0, l0];
        [k0, k1] = [(k0 + 0x9E3779B9) >>> 0, (k1 + 0xBB67AE85) >>> 0];
      }
      [this.words, this.used] = [[c0, c1, c2, c3], 0];
    }
    return this.words[this.used++];
  }

  /** Uniform in 0..n. */
  below(n) {
    const least = 2 ** 32 % n;
    for (;;) {
      const word = this.word();
      if (Math.imul(word, n) >>> 0 >= least) return high(word, n);
    }
  }

  permutation(n) {
    const order = Uint32Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  }
}
