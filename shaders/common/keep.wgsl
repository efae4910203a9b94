// What dropout and drop_path multiply by: 1 / keep with probability keep, else 0. The rate is a number of the op or, where
// p.scheduled is 1, one of the scalars. It needs `p` and `scalars` of the kernel.

fn keep_rate() -> f32 {
    return select(p.keep, scalars[p.slot], p.scheduled != 0u);
}

// 0 where the word is not below the rate; a rate of 0 keeps nothing.
fn kept(word: u32, keep: f32) -> f32 {
    return select(0.0, 1.0 / max(keep, 1e-30), unit(word) < keep);
}
