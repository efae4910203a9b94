// order: a workgroup sorts a row in workgroup memory, a bitonic network over $SIZE pairs (key, place in the row), $SIZE
// a power of two; pairs past the row's end come last. Equal keys keep their order, as no two pairs are equal.
// What a key is and what becomes of a place is the op's: key_of(i) and put(row, place, at, key).

var<workgroup> pairs: array<vec2<u32>, $SIZE>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let row = group_index(wid, groups);
    if (row >= p.rows) {
        return;
    }
    for (var at = lane; at < ${SIZE}u; at += 256u) {
        pairs[at] = vec2<u32>(0xffffffffu, at);
        if (at < p.length) {
            pairs[at].x = key_of(row * p.length + at);
        }
    }
    workgroupBarrier();
    for (var run = 2u; run <= ${SIZE}u; run *= 2u) {
        for (var stride = run / 2u; stride > 0u; stride /= 2u) {
            for (var t = lane; t < ${SIZE}u / 2u; t += 256u) {
                let low = 2u * t - (t & (stride - 1u));
                let a = pairs[low];
                let b = pairs[low + stride];
                let swapped = (b.x < a.x) | ((b.x == a.x) & (b.y < a.y));
                if (swapped == ((low & run) == 0u)) {
                    pairs[low] = b;
                    pairs[low + stride] = a;
                }
            }
            workgroupBarrier();
        }
    }
    for (var place = lane; place < p.length; place += 256u) {
        put(row, place, pairs[place].y, pairs[place].x);
    }
}
