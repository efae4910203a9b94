// Both sums of a slice, as they are. Its twin is store_var.wgsl.

fn store(slot: u32, a: Acc) {
    y[slot] = a.x;
    second[slot] = a.y;
}
