// spectral_norm.dots: of each row of x the product with a row of the other operand, which a piece says. A workgroup a
// row, so that neighbours load neighbours.

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        me: Lane) {
    let lane = me.at;
    let i = group_index(wid, groups);
    let end = select(0u, p.vectors, i < p.rows); // the surplus of a folded grid walks nothing
    var part = 0.0;
    for (var k = lane; k < end; k += 64u) {
        part += dot_v(x[i * p.vectors + k], other(i, k));
    }
    let sum = sum64(me, vec2<f32>(part, 0.0)).x;
    if (lane == 0u && i < p.rows) {
        dots[i] = times(i, sum);
    }
}
