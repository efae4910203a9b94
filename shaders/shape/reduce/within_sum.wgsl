// What the lanes of a subgroup hold of sums or of a spread, put together. Its twin is within_most.wgsl.

fn within(a: Acc) -> Acc {
    return subgroupAdd(a);
}
