// add_bias.grad_bias, a workgroup per 32 columns and slice of p.length rows: 8 rows of invocations walk every eighth row of
// the slice of dy, then row 0 adds the 8 sums in order. Reads of a row of invocations are 32 neighbouring words. The op
// adds up the slices, in order, where there are several.

struct Params { rows: u32, columns: u32, tiles: u32, length: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dy: array<Held>;
@group(0) @binding(2) var<storage, read_write> db: array<f32>; // [slices, columns]

var<workgroup> sums: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let group = group_index(wid, groups);
    let slice = group / p.tiles;
    let n = (group % p.tiles) * 32u + lane % 32u;
    let begin = slice * p.length;
    if (begin >= p.rows) {
        return; // surplus of the folded grid: the whole workgroup leaves
    }
    let end = min(begin + p.length, p.rows);
    var sum = 0.0;
    if (n < p.columns) {
        for (var m = begin + lane / 32u; m < end; m += 8u) {
            let i = m * p.columns + n;
            sum += got(dy[place(i)], i);
        }
    }
    sums[lane] = sum;
    workgroupBarrier();
    if (lane < 32u && n < p.columns) {
        for (var r = 1u; r < 8u; r++) {
            sum += sums[r * 32u + lane];
        }
        db[slice * p.columns + n] = sum;
    }
}
