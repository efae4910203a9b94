// gemm, naive: c[z, m, n] = Σ_k a[z, m, k] · b[z, k, n], one output an invocation, straight from the formula.
// The op's own piece says where operands come from: row_of, column_of, a_at, b_at, c_row, c_column, c_put, depth, and p.m, p.n;
// `batch`, z, is wid.z: the product of a batch or the group of a convolution. `finish` is how it ends: shaders/core/epilogue/.
// A workgroup owns 64 outputs in a row of the flattened [M, N]; nothing must divide. Kept as the oracle of the others.

var<private> batch: u32;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    batch = wid.z;
    let i = group_index(wid, groups) * 64u + lane;
    if (i >= p.m * p.n) {
        return;
    }
    let m = i / p.n;
    let n = i % p.n;
    let row = row_of(m);
    let column = column_of(n);
    var sum = 0.0;
    let end = depth(batch);
    for (var k = 0u; k < end; k++) {
        sum += a_at(row, k) * b_at(column, k);
    }
    let at = c_row(m, 0u) + c_column(n);
    c_put(at, finish(vec4<f32>(sum), batch * p.m + m, vec4<u32>(n), vec4<u32>(at)).x);
}
