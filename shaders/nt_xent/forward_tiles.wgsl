// nt_xent.forward: lse_i = log Σ_{j≠i} exp(s_ij), s_ij = z_i·z_j / τ, and loss_i = lse_i − s_i,pos(i).
// A workgroup owns 32 rows i and walks all j in tiles of 64. Each lane keeps a running maximum and sum over the j it
// owns (online log-sum-exp); at the end the 16 lanes of a row put theirs together in a fixed order.

struct Params { rows: u32, vectors: u32, inverse_temperature: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> z: array<V>;
@group(0) @binding(2) var<storage, read_write> lse: array<f32>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;

var<workgroup> parts: array<vec3<f32>, 512>; // [lx][row]: maximum, sum, similarity of the positive

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i0 = group_index(wid, groups) * 32u;
    let ly = lane / 16u;
    let lx = lane % 16u;
    //@ for m in 0..2
    let i_$m = i0 + ly + $m * 16;
    let positive_$m = (i_$m + p.rows / 2u) % p.rows;
    var top_$m = -3.4e38;
    var sum_$m = 0.0;
    var at_positive_$m = 0.0;
    //@ end
    for (var j0 = 0u; j0 < p.rows; j0 += 64u) {
        let products = similarities(i0, j0, lane);
        //@ for m in 0..2
        let t_$m = products.s[$m];
        var now_$m = top_$m;
        //@ for n in 0..4
        let j_$m_$n = j0 + lx + $n * 16;
        let counts_$m_$n = j_$m_$n < p.rows && j_$m_$n != i_$m;
        now_$m = select(now_$m, max(now_$m, t_$m[$n]), counts_$m_$n);
        at_positive_$m = select(at_positive_$m, t_$m[$n], j_$m_$n == positive_$m);
        //@ end
        sum_$m *= exp(top_$m - now_$m);
        //@ for n in 0..4
        sum_$m += select(0.0, exp(t_$m[$n] - now_$m), counts_$m_$n);
        //@ end
        top_$m = now_$m;
        //@ end
    }
    //@ for m in 0..2
    parts[lx * 32u + ly + $m * 16] = vec3<f32>(top_$m, sum_$m, at_positive_$m);
    //@ end
    workgroupBarrier();
    let i = i0 + lane;
    if (lane < 32u && i < p.rows) {
        var top = -3.4e38;
        for (var l = 0u; l < 16u; l++) {
            top = max(top, parts[l * 32u + lane].x);
        }
        var sum = 0.0;
        var at_positive = 0.0;
        for (var l = 0u; l < 16u; l++) {
            let part = parts[l * 32u + lane];
            sum += part.y * exp(part.x - top);
            at_positive += part.z;
        }
        let log_sum = log(sum);
        lse[i] = top + log_sum;
        losses[i] = log_sum + (top - at_positive);
    }
}
