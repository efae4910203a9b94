// attention.grad_key: dv_j = Σ_i P_ij·dy_i and dk_j = scale·Σ_i dS_ij·q_i, dS_ij = P_ij·(⟨dy_i, v_j⟩ − D_i),
// P_ij = exp(s_ij − lse_i), computed again. A workgroup owns 16·$R keys of a head and walks the queries in tiles of 32,
// with a causal mask from its own place on.

@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> stats: array<vec2<f32>>; // (lse, D)
@group(0) @binding(6) var<storage, read_write> dk: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> dv: array<vec4<f32>>;

fn owned_0(row: u32, unit: u32) -> vec4<f32> {
    return k[row * p.width + unit];
}
fn walked_0(row: u32, unit: u32) -> vec4<f32> {
    return q[row * p.width + unit];
}
fn owned_1(row: u32, unit: u32) -> vec4<f32> {
    return v[row * p.width + unit];
}
fn walked_1(row: u32, unit: u32) -> vec4<f32> {
    return dy[row * p.width + unit];
}
fn summand_0(row: u32, unit: u32) -> vec4<f32> {
    return dy[row * p.width + unit];
}
fn summand_1(row: u32, unit: u32) -> vec4<f32> {
    return q[row * p.width + unit];
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let tile = group_index(wid, groups);
    let head = tile / p.blocks;
    if (head >= p.total) {
        return; // surplus of the folded grid: the whole workgroup leaves
    }
    let j0 = (tile % p.blocks) * (16 * $R);
    let ly = lane / 8u;
    let lx = lane % 8u;
    let keys = keys_of(head);
    let begin = select(0u, j0, p.causal != 0u);
    let end = select(0u, p.t, j0 < keys);
    for (var i0 = begin; i0 < end; i0 += 32u) {
        let s = products_0(head * p.s + j0, (head + 1u) * p.s, head * p.t + i0, (head + 1u) * p.t, lane);
        let d = products_1(head * p.s + j0, (head + 1u) * p.s, head * p.t + i0, (head + 1u) * p.t, lane);
        //@ for n in 0..4
        let i_$n = i0 + lx * 4 + $n;
        let stats_$n = stats[head * p.t + min(i_$n, p.t - 1u)];
        let sees_$n = select(0u, visible(keys, i_$n), i_$n < p.t);
        //@ end
        let sees = vec4<u32>(sees_0, sees_1, sees_2, sees_3);
        let lse = vec4<f32>(stats_0.x, stats_1.x, stats_2.x, stats_3.x);
        let delta = vec4<f32>(stats_0.y, stats_1.y, stats_2.y, stats_3.y);
        //@ for m in 0..R
        let seen_$m = vec4<u32>(j0 + ly + $m * 16) < sees;
        let p_$m = select(vec4<f32>(0.0), exp(p.scale * s.rows[$m] - lse), seen_$m);
        weights[(ly + $m * 16) * 8 + lx] = p_$m;
        //@ end
        accumulate_0(head * p.t + i0, (head + 1u) * p.t, lane);
        workgroupBarrier(); // every lane has used P
        //@ for m in 0..R
        weights[(ly + $m * 16) * 8 + lx] = p_$m * (d.rows[$m] - delta);
        //@ end
        accumulate_1(head * p.t + i0, (head + 1u) * p.t, lane);
    }
    //@ for m in 0..R
    if (j0 + ly + $m * 16 < p.s) {
        let row_$m = head * p.s + j0 + ly + $m * 16;
        //@ for g in 0..EG
        if (lx + $g * 8 < p.width) {
            dv[row_$m * p.width + lx + $g * 8] = sum_0_$m_$g;
            dk[row_$m * p.width + lx + $g * 8] = p.scale * sum_1_$m_$g;
        }
        //@ end
    }
    //@ end
}
