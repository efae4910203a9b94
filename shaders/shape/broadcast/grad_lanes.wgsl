// broadcast.grad, an invocation a slice of one sum, walked in order without a division: for software adapters.
// Neighbouring invocations own neighbouring k.

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = group_index(wid, groups) * 8u + lane;
    if (i >= p.kept * p.slices) {
        return;
    }
    let start = (i / p.kept) * p.slice;
    var at = kept_at(i % p.kept) + repeat_at(start);
    var left = p.inner - start % p.inner; // of this run along the inner dimension
    var sum = 0.0;
    for (var r = start; r < min(start + p.slice, p.length); r++) {
        sum += dy_at(at);
        left -= 1u;
        at += select(p.inner_stride, p.outer_stride - (p.inner - 1u) * p.inner_stride, left == 0u);
        left = select(left, p.inner, left == 0u);
    }
    dx[i] = sum;
}
