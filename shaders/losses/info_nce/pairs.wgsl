// info_nce: every query against every row of the queue, all of them negatives; the positive is no row of it.

@group(0) @binding(1) var<storage, read> query: array<V>;
@group(0) @binding(2) var<storage, read> queue: array<V>;

fn unit_a(at: u32) -> V {
    return query[at];
}

fn unit_b(at: u32) -> V {
    return queue[at];
}

fn counts(i: u32, j: u32) -> bool {
    return true;
}

fn positive(i: u32) -> u32 {
    return p.others;
}
