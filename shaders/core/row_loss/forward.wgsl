// row_loss.forward: the loss of each row, and what its slopes need again. $LANES lanes own a row and walk its units
// side by side: 1 on software adapters (no barriers), 64 on GPUs (neighbours load neighbours). A workgroup has $SIZE.
//
// The pieces of a loss, which come before this one, bring
//   p                                   Params that begin with rows and vectors, the units of a row
//   its inputs                          at bindings 1, 2, …
//   source_<n>(i, k) -> V               unit k of the n-th row of logits to normalise, n < $SOURCES
//   mark(i) -> vec2<u32>                what is looked up once a row: its label, its place in a table
//   terms(i, k, mark, shift) -> vec4    what unit k adds to the sums of the row, where $TERMS is 1
//   row_loss(i, mark, shift, sums)      the loss of the row
//   kept(i, mark, shift, sums) -> vec4  what slopes need, where $KEEPS is 1
//   slope_<n>(i, k, mark, kept) -> V    the derivative of the row's loss with respect to unit k of input n

//@ let stats = LOSSES + 1
@group(0) @binding($LOSSES) var<storage, read_write> losses: array<f32>;
//@ for n in 0..KEEPS
@group(0) @binding($stats) var<storage, read_write> stats: array<vec4<f32>>;
//@ end

@compute @workgroup_size($SIZE)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        me: Lane) {
    let lane = me.at;
    let i = group_index(wid, groups) * ($SIZE / $LANES) + lane / ${LANES}u;
    let end = select(0u, p.vectors, i < p.rows); // lanes past the last row walk nothing: barriers need them all
    let row = min(i, p.rows - 1u);
    let about = mark(row);
    let shift = shift_of(row, me, end);
    var sums = vec4<f32>(0.0);
    //@ for n in 0..TERMS
    for (var k = lane % ${LANES}u; k < end; k += ${LANES}u) {
        sums += terms(row, k, about, shift);
    }
    sums = sum_lanes(me, sums);
    //@ end
    if (lane % ${LANES}u == 0u && i < p.rows) {
        losses[i] = row_loss(i, about, shift, sums);
        //@ for n in 0..KEEPS
        stats[i] = kept(i, about, shift, sums);
        //@ end
    }
}
