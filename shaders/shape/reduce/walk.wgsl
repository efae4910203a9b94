// The walk of every reduction. Kept axes number the outputs, reduced axes the terms of one; after joining neighbours
// there are at most two of each, so that an output starts at o / kept · kept_outer + o % kept · kept_inner and term j
// lies j / inner · outer stride + j % inner · inner stride further on. A walk goes on in steps of a fixed number of
// terms: `jump` words forward, `rest` of them along the inner axis, and `wrap` more where that axis ends (u32 wraps,
// as it should), without a division. The loads of four steps do not wait for each other.

struct Params {
    outputs: u32, terms: u32, kept: u32, kept_outer: u32, kept_inner: u32,
    inner: u32, reduced_outer: u32, reduced_inner: u32, step: u32, jump: u32, rest: u32, wrap: u32,
    slices: u32, slice: u32, // of the terms: how many, and how long
    scale: f32, inverse: f32, // what a result is multiplied by; one over all terms of an output
}
@group(0) @binding(0) var<uniform> p: Params;

// Terms first, first + step, … below end of output o.
fn walk(o: u32, first: u32, end: u32) -> Acc {
    let begin = first / p.inner;
    var inside = first - begin * p.inner;
    var at = o / p.kept * p.kept_outer + o % p.kept * p.kept_inner + begin * p.reduced_outer + inside * p.reduced_inner;
    var j = first;
    //@ for u in 0..4
    var acc_$u = start();
    //@ end
    for (; j + 3u * p.step < end; j += 4u * p.step) {
        //@ for u in 0..4
        acc_$u = merge(acc_$u, term(o, at, j + $u * p.step));
        at += p.jump;
        inside += p.rest;
        if (inside >= p.inner) {
            inside -= p.inner;
            at += p.wrap;
        }
        //@ end
    }
    for (; j < end; j += p.step) {
        acc_0 = merge(acc_0, term(o, at, j));
        at += p.jump;
        inside += p.rest;
        if (inside >= p.inner) {
            inside -= p.inner;
            at += p.wrap;
        }
    }
    return merge(merge(acc_0, acc_1), merge(acc_2, acc_3));
}
