// attention.scores, naive: s_ij = scale·⟨q_i, k_j⟩ in memory, LOWEST where i does not see j. An invocation a score, which
// walks a row of q and one of k; p.width and strides count elements.

@group(0) @binding(1) var<storage, read> q: array<Held>;
@group(0) @binding(2) var<storage, read> k: array<Held>;
@group(0) @binding(3) var<storage, read_write> scores: array<f32>;

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
    let of_q = start(p.q, p.heads, head) + row % p.t * p.q.row;
    let of_k = start(p.k, p.heads, head) + j * p.k.row;
    var sum = 0.0;
    for (var e = 0u; e < p.width; e++) {
        let a = of_q + e;
        let b = of_k + e;
        sum += got(q[place(a)], a) * got(k[place(b)], b);
    }
    scores[at] = select(LOWEST, p.scale * sum, j < visible(keys_of(head), row % p.t));
}
