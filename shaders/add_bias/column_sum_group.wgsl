// add_bias.grad_bias, a workgroup per 32 columns: 8 rows of invocations walk every eighth row of dy, then row 0 adds
// the 8 sums in order. Reads of a row of invocations are 32 neighbouring words.

struct Params { rows: u32, columns: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> db: array<f32>;

var<workgroup> sums: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let n = group_index(wid, groups) * 32u + lane % 32u;
    var sum = 0.0;
    if (n < p.columns) {
        for (var m = lane / 32u; m < p.rows; m += 8u) {
            sum += dy[m * p.columns + n];
        }
    }
    sums[lane] = sum;
    workgroupBarrier();
    if (lane < 32u && n < p.columns) {
        for (var r = 1u; r < 8u; r++) {
            sum += sums[r * 32u + lane];
        }
        db[n] = sum;
    }
}
