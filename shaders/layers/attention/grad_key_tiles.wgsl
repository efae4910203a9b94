// attention.grad_key: dv_j = Σ_i P_ij·dy_i and dk_j = scale·Σ_i dS_ij·q_i, dS_ij = P_ij·(⟨dy_i, v_j⟩ − D_i),
// P_ij = exp(s_ij − lse_i), computed again. A workgroup owns 8·$R keys of a head and walks the queries in tiles of 8·$N,
// with a causal mask from its own place on, as tile.wgsl says; where rows begin, their strides say. Half 0 of the workgroup
// finds S, P and dv, half 1 ⟨dy, v⟩, dS and dk, so that neither holds two sums in registers. dk and dv lie as k and v do: in
// the buffers 6 and $LAST, which are one where k and v lie in one tensor.

@group(0) @binding(1) var<storage, read> q: array<Quad>;
@group(0) @binding(2) var<storage, read> k: array<Quad>;
@group(0) @binding(3) var<storage, read> v: array<Quad>;
@group(0) @binding(4) var<storage, read> dy: array<Quad>;
@group(0) @binding(5) var<storage, read> stats: array<vec2<f32>>; // (lse, D)
//@ for b in 6..LAST + 1
@group(0) @binding($b) var<storage, read_write> grad_$b: array<Result>;
//@ end

// Where the head's rows begin.
var<private> of_q: u32;
var<private> of_k: u32;
var<private> of_v: u32;
var<private> of_y: u32;

fn owned_row_0(row: u32) -> u32 {
    return of_k + row * p.k.row;
}
fn owned_0(at: u32) -> vec4<f32> {
    return loaded(k[at]);
}
fn walked_row_0(row: u32) -> u32 {
    return of_q + row * p.q.row;
}
fn walked_0(at: u32) -> vec4<f32> {
    return loaded(q[at]);
}
fn summand_0(row: u32, unit: u32) -> vec4<f32> {
    return loaded(dy[row * p.y.row + (of_y + unit)]);
}
fn owned_row_1(row: u32) -> u32 {
    return of_v + row * p.v.row;
}
fn owned_1(at: u32) -> vec4<f32> {
    return loaded(v[at]);
}
fn walked_row_1(row: u32) -> u32 {
    return of_y + row * p.y.row;
}
fn walked_1(at: u32) -> vec4<f32> {
    return loaded(dy[at]);
}
fn summand_1(row: u32, unit: u32) -> vec4<f32> {
    return loaded(q[row * p.q.row + (of_q + unit)]);
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) index: u32) {
    let tile = group_index(wid, groups);
    let head = tile / p.blocks;
    if (head >= p.total) {
        return; // surplus of the folded grid: the whole workgroup leaves
    }
    let j0 = (tile % p.blocks) * (8 * $R);
    let part = index / 64u;
    let lane = index % 64u;
    let ly = lane / 8u;
    let lx = lane % 8u;
    of_q = start(p.q, p.heads, head);
    of_k = start(p.k, p.heads, head);
    of_v = start(p.v, p.heads, head);
    of_y = start(p.y, p.heads, head);
    let keys = keys_of(head);
    let begin = select(0u, j0, p.causal != 0u);
    let end = select(0u, p.t, j0 < keys);
    for (var i0 = begin; i0 < end; i0 += 8 * $N) {
        let c = products_0(j0, p.s, i0, p.t, lane, part);
        let i = walked_rows(i0, lane);
        //@ for n in 0..N
        let stats_$n = stats[head * p.t + min(i[$n], p.t - 1u)];
        let sees_$n = select(0u, visible(keys, i[$n]), i[$n] < p.t);
        //@ end
        workgroupBarrier(); // every lane has used the last tile
        if (part == 0u) {
            //@ for m in 0..R
            var p_$m = vec4<f32>(0.0);
            //@ for n in 0..N
            p_$m[$n] = select(0.0, exp(p.scale * c.rows[$m][$n] - stats_$n.x), j0 + ly + $m * 8 < sees_$n);
            //@ end
            tile_b[(ly + $m * 8) * 9 + lx] = p_$m;
            //@ end
        }
        workgroupBarrier();
        if (part == 1u) {
            //@ for m in 0..R
            var p_$m = tile_b[(ly + $m * 8) * 9 + lx];
            //@ for n in 0..N
            p_$m[$n] *= c.rows[$m][$n] - stats_$n.y;
            //@ end
            tile_b[B + (ly + $m * 8) * 9 + lx] = p_$m;
            //@ end
        }
        accumulate(i0, p.t, lane, part);
    }
    //@ for m in 0..R
    if (j0 + ly + $m * 8 < p.s) {
        let row_$m = j0 + ly + $m * 8;
        //@ for g in 0..EG
        if (lx + $g * 8 < p.width) {
            if (part == 0u) {
                grad_$LAST[of_v + row_$m * p.v.row + lx + $g * 8] = stored(sum_$m_$g);
            } else {
                grad_6[of_k + row_$m * p.k.row + lx + $g * 8] = stored(p.scale * sum_$m_$g);
            }
        }
        //@ end
    }
    //@ end
}
