// Steps through a dense tensor of four dimensions, whose inner three are `inner`: an integer division costs as much as
// many additions, so a kernel divides once and then counts on.

fn coordinates(i: u32, inner: vec3<u32>) -> vec4<u32> {
    let row = i / inner.z;
    let plane = row / inner.y;
    let block = plane / inner.x;
    return vec4<u32>(block, plane - block * inner.x, row - plane * inner.y, i - row * inner.z);
}

fn following(c: vec4<u32>, inner: vec3<u32>) -> vec4<u32> {
    var n = c;
    n.w += 1u;
    if (n.w == inner.z) {
        n.w = 0u;
        n.z += 1u;
        if (n.z == inner.y) {
            n.z = 0u;
            n.y += 1u;
            if (n.y == inner.x) {
                n.y = 0u;
                n.x += 1u;
            }
        }
    }
    return n;
}
