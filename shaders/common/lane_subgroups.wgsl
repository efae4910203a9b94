// A lane of a workgroup, for the helpers that put numbers of all lanes together: within each subgroup, whatever its
// size, then across by one exchange in workgroup memory, where each subgroup has a cell. The order of additions depends on the
// device's subgroups; on one device it is always the same. The twin of lane.wgsl.
// No order of lanes is counted on. Two things are: a subgroup of a workgroup has 4 lanes or more, so that there are cells enough, and
// each has a lane of rank 0, which fills the cell. WGSL promises neither where a driver cuts a workgroup unevenly; known drivers fill subgroups, as the
// workgroup's lanes are a multiple of their size. Where a workgroup is one subgroup, there is nothing to exchange; a
// compiler that knows it leaves the cells and the barrier out.
struct Lane {
    @builtin(local_invocation_index) at: u32,
    @builtin(subgroup_invocation_id) rank: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
}
