// attention.product, naive: y[r, e] = Σ_c w[r, c]·x[c, e] in each head, w [T, S] or its transpose by strides, x and y as
// strides.wgsl says. An invocation an element of y; neighbours read neighbours of x.

struct Product {
    heads: u32, total: u32, // as in Params
    rows: u32, inner: u32, columns: u32,
    w_head: u32, w_row: u32, w_inner: u32,
    x: Strides, y: Strides, // in elements
}
@group(0) @binding(0) var<uniform> p: Product;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<Held>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let at = group_index(wid, groups) * 64u + lane;
    if (at >= p.total * p.rows * p.columns) {
        return;
    }
    let e = at % p.columns;
    let row = at / p.columns % p.rows;
    let head = at / (p.columns * p.rows);
    let of_x = start(p.x, p.heads, head) + e;
    var sum = 0.0;
    for (var c = 0u; c < p.inner; c++) {
        let i = of_x + c * p.x.row;
        sum += w[head * p.w_head + row * p.w_row + c * p.w_inner] * got(x[place(i)], i);
    }
    put(start(p.y, p.heads, head) + row * p.y.row + e, sum);
}
