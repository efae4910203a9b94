// center: y = x − the mean of its column. A workgroup owns $WIDE columns of units side by side and $TALL lanes walk the
// rows of each; their sums are put together in a fixed order. Then the same lanes walk the rows again and subtract.

struct Params { rows: u32, vectors: u32, inverse_rows: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<V>;
@group(0) @binding(2) var<storage, read_write> y: array<V>;

var<workgroup> sums: array<V, $WIDE * $TALL>;

@compute @workgroup_size($WIDE * $TALL)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let column = group_index(wid, groups) * ${WIDE}u + lane % ${WIDE}u;
    let first = lane / ${WIDE}u;
    let end = select(0u, p.rows, column < p.vectors);
    var sum = V(0.0);
    for (var i = first; i < end; i += ${TALL}u) {
        sum += x[i * p.vectors + column];
    }
    sums[lane] = sum;
    workgroupBarrier();
    var total = V(0.0);
    for (var t = 0u; t < ${TALL}u; t++) {
        total += sums[t * ${WIDE}u + lane % ${WIDE}u];
    }
    let mean = p.inverse_rows * total;
    for (var i = first; i < end; i += ${TALL}u) {
        y[i * p.vectors + column] = x[i * p.vectors + column] - mean;
    }
}
