// The variance and the mean, of all n terms. Its twin is store_pair.wgsl.

fn store(slot: u32, a: Acc) {
    let off = a.y * p.inverse;
    y[slot] = max(a.x - a.y * off, 0.0) * p.scale;
    second[slot] = rough[slot] + off;
}
