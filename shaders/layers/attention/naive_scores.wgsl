// attention.scores, naive: s_ij = scale·⟨q_i, k_j⟩ in memory, LOWEST where i does not see j. An invocation a score;
// p.width counts elements.

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
    var sum = 0.0;
    for (var e = 0u; e < p.width; e++) {
        let a = row * p.width + e;
        let b = (head * p.s + j) * p.width + e;
        sum += got(q[place(a)], a) * got(k[place(b)], b);
    }
    scores[at] = select(LOWEST, p.scale * sum, j < visible(keys_of(head), row % p.t));
}
