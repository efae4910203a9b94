// spectral_norm.dots: of each row of x the product with a row of the other operand, which a piece says. One invocation a
// row: no barriers, for software adapters.

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 8u + lane;
    if (i >= p.rows) {
        return;
    }
    var sum = 0.0;
    for (var k = 0u; k < p.vectors; k++) {
        sum += dot_v(x[i * p.vectors + k], other(i, k));
    }
    dots[i] = times(i, sum);
}
