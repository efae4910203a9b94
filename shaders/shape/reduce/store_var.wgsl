// The variance and the mean, of all n terms. Its twin is store_pair.wgsl.

fn store(slot: u32, a: Acc) {
    let off = a.y * p.inverse;
    let sum = a.x - a.y * off;
    // From −0 to −∞, on bits: neither max() nor a comparison, of which a driver may make one, keeps every NaN.
    y[slot] = select(sum, 0.0, bitcast<u32>(sum) - 0x80000000u <= 0x7f800000u) * p.scale;
    second[slot] = rough[slot] + off;
}
