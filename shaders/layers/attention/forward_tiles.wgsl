// attention.forward: y_i = Σ_j exp(s_ij − lse_i)·v_j, s_ij = scale·⟨q_i, k_j⟩, lse_i = log Σ_j exp(s_ij), in one walk over
// the keys with a running maximum (online softmax). A workgroup owns 8·$R queries of a head and walks the keys in
// tiles of 8·$N: their scores by tile.wgsl, the new maximum of each row over its eight lanes, then the tile's share of y.
// tile.wgsl says how it walks rows; where they begin, their strides say.

@group(0) @binding(1) var<storage, read> q: array<Quad>;
@group(0) @binding(2) var<storage, read> k: array<Quad>;
@group(0) @binding(3) var<storage, read> v: array<Quad>;
@group(0) @binding(4) var<storage, read_write> y: array<Result>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;

// Where the head's rows begin.
var<private> of_q: u32;
var<private> of_k: u32;
var<private> of_v: u32;

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
fn summand_0(row: u32, unit: u32) -> vec4<f32> {
    return loaded(v[row * p.v.row + (of_v + unit)]);
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
    let keys = keys_of(head);
    let end = visible(keys, min(i0 + 8 * $R, p.t) - 1u);
    var top = vec4<f32>(LOWEST); // of rows ly + 8 m
    var total = vec4<f32>(0.0);  // over this lane's keys
    for (var j0 = 0u; j0 < end; j0 += 8 * $N) {
        let s = products_0(i0, p.t, j0, keys, lane, 0u);
        let j = walked_rows(j0, lane);
        var highest = vec4<f32>(LOWEST);
        //@ for m in 0..R
        let seen_$m = j < vec4<u32>(visible(keys, i0 + ly + $m * 8));
        let s_$m = select(vec4<f32>(LOWEST), p.scale * s.rows[$m], seen_$m);
        highest[$m] = max(max(s_$m.x, s_$m.y), max(s_$m.z, s_$m.w));
        //@ end
        workgroupBarrier();
        tile_b[lane] = highest;
        workgroupBarrier();
        var now = top;
        //@ for x in 0..8
        now = max(now, tile_b[ly * 8 + $x]);
        //@ end
        workgroupBarrier(); // every lane has read the highest
        let keep = exp(top - now);
        top = now;
        total *= keep;
        //@ for m in 0..R
        let p_$m = select(vec4<f32>(0.0), exp(s_$m - now[$m]), seen_$m);
        total[$m] += (p_$m.x + p_$m.y) + (p_$m.z + p_$m.w);
        tile_b[(ly + $m * 8) * 9 + lx] = p_$m;
        //@ for g in 0..EG
        sum_$m_$g *= keep[$m];
        //@ end
        //@ end
        accumulate(j0, keys, lane, 0u);
    }
    workgroupBarrier();
    tile_b[lane] = total;
    workgroupBarrier();
    total = vec4<f32>(0.0);
    //@ for x in 0..8
    total += tile_b[ly * 8 + $x];
    //@ end
    let of_y = start(p.y, p.heads, head);
    // A row that sees no key has y 0 and lse LOWEST; NaN stays.
    let unseen = total == vec4<f32>(0.0);
    let share = select(1.0 / total, vec4<f32>(0.0), unseen);
    let logs = select(top + log(total), vec4<f32>(LOWEST), unseen);
    //@ for m in 0..R
    if (i0 + ly + $m * 8 < p.t) {
        let row_$m = i0 + ly + $m * 8;
        //@ for g in 0..EG
        if (lx + $g * 8 < p.width) {
            y[of_y + row_$m * p.y.row + lx + $g * 8] = stored(share[$m] * sum_$m_$g);
        }
        //@ end
        if (lx == 0u) {
            lse[head * p.t + row_$m] = logs[$m];
        }
    }
    //@ end
}
