// attention.grad_scores, naive: P_ij = exp(s_ij − lse_i) and scale·dS_ij, dS_ij = P_ij·(⟨dy_i, v_j⟩ − D_i), in memory. An
// invocation a score, which walks a row of each input; p.width and strides count elements.

@group(0) @binding(1) var<storage, read> q: array<Held>;
@group(0) @binding(2) var<storage, read> k: array<Held>;
@group(0) @binding(3) var<storage, read> v: array<Held>;
@group(0) @binding(4) var<storage, read> dy: array<Held>;
@group(0) @binding(5) var<storage, read> stats: array<vec2<f32>>; // (lse, D)
@group(0) @binding(6) var<storage, read_write> shares: array<f32>;
@group(0) @binding(7) var<storage, read_write> dscores: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let at = group_index(wid, groups) * 64u + lane;
    if (at >= p.total * p.t * p.s) {
        return;
    }
    let row = at / p.s;
    let head = row / p.t;
    let j = at % p.s;
    let i = row % p.t;
    let of_q = start(p.q, p.heads, head) + i * p.q.row;
    let of_k = start(p.k, p.heads, head) + j * p.k.row;
    let of_v = start(p.v, p.heads, head) + j * p.v.row;
    let of_y = start(p.y, p.heads, head) + i * p.y.row;
    var s = 0.0;
    var d = 0.0;
    for (var e = 0u; e < p.width; e++) {
        s += got(q[place(of_q + e)], of_q + e) * got(k[place(of_k + e)], of_k + e);
        d += got(dy[place(of_y + e)], of_y + e) * got(v[place(of_v + e)], of_v + e);
    }
    let seen = j < visible(keys_of(head), i);
    let share = select(0.0, exp(p.scale * s - stats[row].x), seen);
    shares[at] = share;
    dscores[at] = p.scale * share * (d - stats[row].y);
}
