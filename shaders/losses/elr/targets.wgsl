// elr.targets: t = keep·t + (1 − keep)·p/Σp in place for the rows of the table that `indices` names, p the clamped softmax
// of the row's logits. $LANES lanes own a row, as in core/row_loss/forward.wgsl, whose pieces this walk shares. Of several rows
// with one index the last of weight above 0 is written, by one workgroup alone; padding (weight 0) writes nothing.

struct Params { rows: u32, vectors: u32, samples: u32, keep: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(2) var<storage, read> indices: array<u32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> table: array<V>;

@compute @workgroup_size($SIZE)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        me: Lane) {
    let lane = me.at;
    let at = group_index(wid, groups) * ($SIZE / $LANES) + lane / ${LANES}u;
    let end = select(0u, p.vectors, at < p.rows);
    let i = min(at, p.rows - 1u);
    let shift = shift_of(i, me, end);
    var sum = 0.0;
    for (var k = lane % ${LANES}u; k < end; k += ${LANES}u) {
        sum += sum_v(clamped(exp(log_softmax(i, k, shift))));
    }
    var later = 0.0;
    for (var j = i + 1u + lane % ${LANES}u; j < p.rows; j += ${LANES}u) {
        later += select(0.0, 1.0, (indices[j] == indices[i]) & !(weights[j] == 0.0));
    }
    let totals = sum_lanes(me, vec4<f32>(sum, later, 0.0, 0.0));
    if (held() || totals.y > 0.0 || weights[i] == 0.0) {
        return;
    }
    let row = min(indices[i], p.samples - 1u) * p.vectors;
    let take = (1.0 - p.keep) / totals.x;
    for (var k = lane % ${LANES}u; k < end; k += ${LANES}u) {
        table[row + k] = p.keep * table[row + k] + take * clamped(exp(log_softmax(i, k, shift)));
    }
}
