// broadcast.grad, a workgroup a slice of $COLUMNS sums: each has 256/$COLUMNS invocations that walk every so many-th r,
// four loads at a time, then a tree adds their sums. $RINNERMOST is 1 where neighbouring r are neighbours in memory and
// neighbouring invocations take them, 0 where neighbouring k are. $COLUMNS must be a power of two up to 256.

const ROWS: u32 = 256u / ${COLUMNS}u;
var<workgroup> sums: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let column = select(lane % ${COLUMNS}u, lane / ROWS, $RINNERMOST == 1);
    let row = select(lane / ${COLUMNS}u, lane % ROWS, $RINNERMOST == 1);
    let tiles = (p.kept + ${COLUMNS}u - 1u) / ${COLUMNS}u;
    let g = group_index(wid, groups);
    let k = (g % tiles) * ${COLUMNS}u + column;
    let slice = g / tiles;
    let owned = (k < p.kept) & (slice < p.slices); // not the surplus of the last tile or of a folded grid
    let start = slice * p.slice;
    let end = select(0u, min(start + p.slice, p.length), owned);
    let base = kept_at(k);
    var four = vec4<f32>(0.0);
    var r = start + row;
    for (; r + 3u * ROWS < end; r += 4u * ROWS) {
        four += vec4<f32>(dy_at(base + repeat_at(r)), dy_at(base + repeat_at(r + ROWS)),
                          dy_at(base + repeat_at(r + 2u * ROWS)), dy_at(base + repeat_at(r + 3u * ROWS)));
    }
    for (; r < end; r += ROWS) {
        four.x += dy_at(base + repeat_at(r));
    }
    sums[row * ${COLUMNS}u + column] = (four.x + four.y) + (four.z + four.w);
    workgroupBarrier();
    for (var step = 128u; step >= ${COLUMNS}u; step /= 2u) {
        if (lane < step) {
            sums[lane] += sums[lane + step];
        }
        workgroupBarrier();
    }
    if (row == 0u && owned) {
        dx[slice * p.kept + k] = sums[column];
    }
}
