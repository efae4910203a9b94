// The variance and the mean, of all n terms. Its twin is store_pair.wgsl.

fn store(slot: u32, a: Acc) {
    let off = a.y * p.inverse;
    let sum = a.x - a.y * off;
    y[slot] = select(sum, 0.0, sum < 0.0) * p.scale; // not max(), which may lose a NaN
    second[slot] = rough[slot] + off;
}
