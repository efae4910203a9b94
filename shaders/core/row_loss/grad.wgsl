// row_loss.grad: dx_ik = factor_i · slope(i, k) for the inputs $FROM to $TO − 1 of a loss. $LANES lanes own a row and
// walk its units side by side, as in forward.wgsl, which says what a loss's pieces bring.
// A factor of 0 gives 0 whatever the slope: padding may hold anything. A NaN is neither equal to 0 nor, in SPIR-V's
// ordered comparison, unequal: the test is for equality, so that the NaN of a cotangent stays.

//@ for n in 0..KEEPS
@group(0) @binding($STATS) var<storage, read> stats: array<vec4<f32>>;
//@ end
//@ for g in FROM..TO
//@ let at = DX + g - FROM
@group(0) @binding($at) var<storage, read_write> dx_$g: array<V>;
//@ end

@compute @workgroup_size($SIZE)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * ($SIZE / $LANES) + lane / ${LANES}u;
    if (i >= p.rows) {
        return;
    }
    let f = factor(i);
    let about = mark(i);
    var kept = vec4<f32>(0.0);
    //@ for n in 0..KEEPS
    kept = stats[i];
    //@ end
    for (var k = lane % ${LANES}u; k < p.vectors; k += ${LANES}u) {
        //@ for g in FROM..TO
        let slope_of_$g = slope_$g(i, k, about, kept);
        dx_$g[i * p.vectors + k] = select(f * slope_of_$g, V(0.0), f == 0.0);
        //@ end
    }
}
