// attention.grad_query: dq_i = scale·Σ_j dS_ij·k_j, dS_ij = P_ij·(⟨dy_i, v_j⟩ − D_i), P_ij = exp(s_ij − lse_i), computed
// again. A workgroup owns 8·$R queries of a head and walks the keys in tiles of 8·$N, as tile.wgsl says; where rows begin,
// their strides say. dq lies as q does.

@group(0) @binding(1) var<storage, read> q: array<Quad>;
@group(0) @binding(2) var<storage, read> k: array<Quad>;
@group(0) @binding(3) var<storage, read> v: array<Quad>;
@group(0) @binding(4) var<storage, read> dy: array<Quad>;
@group(0) @binding(5) var<storage, read> stats: array<vec2<f32>>; // (lse, D)
@group(0) @binding(6) var<storage, read_write> dq: array<Result>;

// Where the head's rows begin.
var<private> of_q: u32;
var<private> of_k: u32;
var<private> of_v: u32;
var<private> of_y: u32;

fn owned_row_0(row: u32) -> u32 {
    return of_q + row * p.q.row;
}
fn owned_0(at: u32) -> vec4<f32> {
    return loaded(q[at]);
}
fn walked_row_0(row: u32) -> u32 {
    return of_k + row * p.k.row;
}
fn walked_0(at: u32) -> vec4<f32> {
    return loaded(k[at]);
}
fn owned_row_1(row: u32) -> u32 {
    return of_y + row * p.y.row;
}
fn owned_1(at: u32) -> vec4<f32> {
    return loaded(dy[at]);
}
fn walked_row_1(row: u32) -> u32 {
    return of_v + row * p.v.row;
}
fn walked_1(at: u32) -> vec4<f32> {
    return loaded(v[at]);
}
fn summand_0(row: u32, unit: u32) -> vec4<f32> {
    return loaded(k[row * p.k.row + (of_k + unit)]);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let tile = group_index(wid, groups);
    let head = tile / p.blocks;
    if (head >= p.total) {
        return; // surplus of the folded grid: the whole workgroup leaves
    }
    let i0 = (tile % p.blocks) * (8 * $R);
    let ly = lane / 8u;
    let lx = lane % 8u;
    of_q = start(p.q, p.heads, head);
    of_k = start(p.k, p.heads, head);
    of_v = start(p.v, p.heads, head);
    of_y = start(p.y, p.heads, head);
    let keys = keys_of(head);
    let end = visible(keys, min(i0 + 8 * $R, p.t) - 1u);
    //@ for m in 0..R
    let stats_$m = stats[head * p.t + min(i0 + ly + $m * 8, p.t - 1u)];
    //@ end
    for (var j0 = 0u; j0 < end; j0 += 8 * $N) {
        let s = products_0(i0, p.t, j0, keys, lane, 0u);
        let d = products_1(i0, p.t, j0, keys, lane, 0u);
        workgroupBarrier(); // every lane has used the last tile
        let j = walked_rows(j0, lane);
        //@ for m in 0..R
        let seen_$m = j < vec4<u32>(visible(keys, i0 + ly + $m * 8));
        let ds_$m = exp(p.scale * s.rows[$m] - stats_$m.x) * (d.rows[$m] - stats_$m.y);
        tile_b[(ly + $m * 8) * 9 + lx] = select(vec4<f32>(0.0), ds_$m, seen_$m);
        //@ end
        accumulate(j0, keys, lane, 0u);
    }
    //@ for m in 0..R
    if (i0 + ly + $m * 8 < p.t) {
        let row_$m = of_q + (i0 + ly + $m * 8) * p.q.row;
        //@ for g in 0..EG
        if (lx + $g * 8 < p.width) {
            dq[row_$m + lx + $g * 8] = stored(p.scale * sum_$m_$g);
        }
        //@ end
    }
    //@ end
}
