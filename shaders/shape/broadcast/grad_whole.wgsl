// broadcast.grad, a workgroup a slice of one sum: its 256 invocations walk every 256th r, four loads at a time, then sum256 adds
// their sums. Neighbouring invocations take neighbouring r. Nothing must divide. Its twin grad_groups.wgsl has a tree, of one sum or of several.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        me: Lane) {
    let g = group_index(wid, groups);
    let slice = g / p.kept;
    let k = g - slice * p.kept;
    let owned = slice < p.slices; // not the surplus of a folded grid
    let end = select(0u, min((slice + 1u) * p.slice, p.length), owned);
    let base = kept_at(k);
    var four = vec4<f32>(0.0);
    var r = slice * p.slice + me.at;
    for (; r + 768u < end; r += 1024u) {
        four += vec4<f32>(dy_at(base + repeat_at(r)), dy_at(base + repeat_at(r + 256u)),
                          dy_at(base + repeat_at(r + 512u)), dy_at(base + repeat_at(r + 768u)));
    }
    for (; r < end; r += 256u) {
        four.x += dy_at(base + repeat_at(r));
    }
    let sum = sum256(me, vec2<f32>((four.x + four.y) + (four.z + four.w), 0.0)).x;
    if (me.at == 0u && owned) {
        dx[g] = sum;
    }
}
