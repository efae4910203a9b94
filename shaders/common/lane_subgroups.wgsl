// A lane of a workgroup, as those helpers know it that put numbers of all lanes together: within each subgroup, whatever its
// size, then across by one exchange in workgroup memory, where each subgroup has a cell. The order of additions depends on the
// device's subgroups; on one device it is always the same. The twin of lane.wgsl.
// Nobody promises which lanes are a subgroup, so none is counted on. Where a workgroup is one subgroup, there is nothing to
// exchange; a compiler that knows it leaves the cells and the barrier out. A subgroup has 4 lanes or more.
struct Lane {
    @builtin(local_invocation_index) at: u32,
    @builtin(subgroup_invocation_id) rank: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
}
