// matmul, cooperative: c[z, m, n] = Σ_k a[z, m, k] · b[z, k, n] in matrices of $SIDE × $SIDE that a whole subgroup holds
// together, operands of type Operand, sums in f32.
// A subgroup owns $TM × $TN such matrices of c. A workgroup has $LANES invocations, as many as the largest subgroup that
// the adapter may choose, and so one subgroup or more: how many, it asks. A subgroup walks k a matrix at a time, straight from
// memory: with naga 30 what one invocation writes into workgroup memory is not surely seen by a load of another (wgpu issue
// 8805). Neighbours along n read the same rows of a, from the caches. wid.z is z.
// M must divide by $SIDE · $TM, N by $SIDE · $TN, K by $SIDE: nothing is guarded. All control flow is uniform: a subgroup
// past the last tile makes that one again, to the same bits. Index and
// stride of every coopStore are named first: naga 30.0.1 panics on expressions there.

var<private> batch: u32;
var<workgroup> subgroups: u32;

@compute @workgroup_size($LANES)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32, @builtin(subgroup_id) subgroup: u32,
        @builtin(num_subgroups) own_subgroups: u32) {
    if (lane == 0u) {
        subgroups = own_subgroups;
    }
    let many = workgroupUniformLoad(&subgroups); // the builtin, as uniform as naga wants it
    let tiles_n = p.n / ($SIDE * $TN);
    let tiles = p.m / ($SIDE * $TM) * tiles_n;
    let first = (wid.x + wid.y * groups.x) * many; // in place: naga takes no result of a function for uniform
    if (first >= tiles) {
        return; // the grid is for one subgroup in a workgroup
    }
    let tile = min(first + subgroup, tiles - 1u);
    let m0 = (tile / tiles_n) * $SIDE * $TM;
    let n0 = (tile % tiles_n) * $SIDE * $TN;
    batch = wid.z;
    let a0 = wid.z * p.a_z + m0 * p.a_m;
    let b0 = wid.z * p.b_z + n0 * p.b_n;
    //@ for m in 0..TM
    //@ for n in 0..TN
    var acc_$m_$n = coop_mat${SIDE}x${SIDE}<f32, C>();
    //@ end
    //@ end
    for (var k = 0u; k < p.k; k += $SIDE) {
        //@ for m in 0..TM
        let a_$m = a_matrix(a0 + $m * $SIDE * p.a_m + k * p.a_k);
        //@ end
        //@ for n in 0..TN
        let b_$n = b_matrix(b0 + $n * $SIDE * p.b_n + k * p.b_k);
        //@ end
        //@ for m in 0..TM
        //@ for n in 0..TN
        acc_$m_$n = coopMultiplyAdd(a_$m, b_$n, acc_$m_$n);
        //@ end
        //@ end
    }
    let stride = p.n;
    //@ for m in 0..TM
    //@ for n in 0..TN
    let at_$m_$n = (wid.z * p.m + m0 + $m * $SIDE) * p.n + n0 + $n * $SIDE;
    coopStoreT(acc_$m_$n, &c[at_$m_$n], stride);
    //@ end
    //@ end
}

// Row-major where k is along memory, else column-major.
fn a_matrix(at: u32) -> coop_mat${SIDE}x${SIDE}<Operand, A> {
    if (p.a_k == 1u) {
        return coopLoadT<coop_mat${SIDE}x${SIDE}<Operand, A>>(&a[at], p.a_m);
    }
    return coopLoad<coop_mat${SIDE}x${SIDE}<Operand, A>>(&a[at], p.a_k);
}

fn b_matrix(at: u32) -> coop_mat${SIDE}x${SIDE}<Operand, B> {
    if (p.b_n == 1u) {
        return coopLoadT<coop_mat${SIDE}x${SIDE}<Operand, B>>(&b[at], p.b_k);
    }
    return coopLoad<coop_mat${SIDE}x${SIDE}<Operand, B>>(&b[at], p.b_n);
}
