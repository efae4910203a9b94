// What the lanes of a subgroup hold of a maximum, put together: the largest key, and the first of the terms that have it. Its
// twin is within_sum.wgsl.

fn within(a: Acc) -> Acc {
    let top = subgroupMax(a.x);
    return vec2<u32>(top, subgroupMin(select(0xffffffffu, a.y, a.x == top)));
}
