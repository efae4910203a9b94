// A weight of the positives for each column.

@group(0) @binding(3) var<storage, read> pos_weight: array<V>;

fn positive_weight(k: u32) -> V {
    return pos_weight[k];
}
