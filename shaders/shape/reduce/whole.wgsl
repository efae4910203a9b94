// reduce, a workgroup for a slice of the terms of one output: its 256 lanes walk them side by side, so that neighbours read
// neighbours. `within` puts the results of a subgroup together; then they go across as common/lane_subgroups.wgsl says. Nothing
// must divide. Its twin groups.wgsl folds the results of one output or of several in a tree.

var<workgroup> cells: array<Acc, 64>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        me: Lane) {
    let g = group_index(wid, groups);
    let s = g / p.outputs;
    let o = g - s * p.outputs;
    let owned = s < p.slices; // not the surplus of a folded grid
    var own = within(walk(o, s * p.slice + me.at, select(0u, min((s + 1u) * p.slice, p.terms), owned)));
    if (me.rank == 0u) {
        cells[me.subgroup] = own;
    }
    workgroupBarrier();
    if (me.subgroups > 1u) {
        own = cells[0];
        for (var i = 1u; i < me.subgroups; i++) {
            own = merge(own, cells[i]);
        }
    }
    if (me.at == 0u && owned) {
        store(g, own);
    }
}
